"""A naive second opinion: a metric from the raw files in pandas, rules left out at will.

Written from the definitions' words and METHODS section 1; knows nothing of the models.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Metric:
    """What the analyst was told: which rows, when, and what becomes of them."""

    outcome: str
    kind: str = "sum"
    below: str = ""
    delay: float = 0.0
    days: float | None = None
    cap: float | None = None
    is_by_day: bool = False
    quantile: float = 0.0
    steps: tuple[str, ...] = ()


class Raw:
    """The delivered files of one experiment."""

    def __init__(self, folder: Path) -> None:
        files = {file.stem: pd.read_parquet(file) for file in folder.glob("*.parquet")}
        self.exposures = files["exposures"]
        self.outcomes = files["outcomes"]
        self.assignments = files.get("experiment_assignments", pd.DataFrame())
        self.registry = files["experiment_registry"].iloc[0].to_dict()


@dataclass(frozen=True)
class Analyst:
    """Somebody who counts a metric and forgets some of its rules."""

    raw: Raw
    metric: Metric
    forgets: Collection[str]
    hours: float = 0.0

    def numbers(self) -> dict[str, dict[str, float | None]]:
        """Units, total, denominator and mean by arm."""
        units = self._values()
        return {arm: self._summarise(rows) for arm, rows in units.groupby("variant")}

    def _summarise(self, rows: pd.DataFrame) -> dict[str, float | None]:
        values = np.sort(rows["value"].to_numpy())
        found: dict[str, float | None] = {"units": float(len(rows))}
        if self.metric.quantile:
            place = int(np.ceil(self.metric.quantile * len(values) - 1e-9))
            return found | {"mean": float(values[place - 1])}
        found["total"] = float(values.sum())
        below = float(rows["below"].sum()) if self.metric.below else float(len(rows))
        if self.metric.below:
            found["denominator"] = below
        return found | {"mean": float(values.sum()) / below}

    def _clock(self, instants: pd.Series) -> pd.Series:
        return instants + timedelta(hours=self.hours)

    def _rows(self) -> pd.DataFrame:
        rows = self.raw.outcomes
        good = rows[rows["value"].notna()]
        if "copies_kept" not in self.forgets:
            keys = ["user_id", "metric_name", "value", "outcome_ts"]
            good = good.drop_duplicates(keys)
        if "not_yet_received" in self.forgets:
            good = good[good["received_ts"] < self.raw.registry["watermark_ts"]]
        return good.assign(at=self._clock(good["outcome_ts"]))

    def _units(self) -> pd.DataFrame:
        seen = self.raw.exposures.rename(columns={"exposure_ts": "since"})
        if "all_assigned" in self.forgets:
            seen = self.raw.assignments.rename(columns={"assigned_ts": "since"})
        seen = seen[["user_id", "variant", "since"]]
        if "copies_kept" not in self.forgets:
            seen = seen.drop_duplicates()
        seen = seen.assign(since=self._clock(seen["since"]))
        start, end = self.raw.registry["start_ts"], self.raw.registry["end_ts"]
        seen = seen[(seen["since"] >= start) & (seen["since"] < end)]
        seen = seen.sort_values(["since", "variant"])
        arms = seen.groupby("user_id")["variant"].nunique()
        if "crossover_in_each_arm" in self.forgets:
            seen = seen.drop_duplicates(["user_id", "variant"])
        elif "every_exposure" not in self.forgets:
            seen = seen.drop_duplicates("user_id")
        if "crossover_dropped" in self.forgets:
            seen = seen[~seen["user_id"].isin(arms[arms > 1].index)]
        if "bots_kept" not in self.forgets:
            seen = seen[~seen["user_id"].isin(self._bots())]
        return seen.reset_index(drop=True).rename_axis("unit").reset_index()

    def _bots(self) -> pd.Index:
        rows = self._rows()
        if "after_watermark" not in self.forgets:
            rows = rows[rows["at"] < self.raw.registry["watermark_ts"]]
        busy = rows.groupby(["user_id", rows["at"].dt.floor("D")]).size()
        return busy[busy > 100].index.get_level_values("user_id").unique()

    def _inside(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of units that lie in the window and before the watermark."""
        metric, forgets = self.metric, self.forgets
        since = rows["since"].dt.floor("D") if metric.is_by_day else rows["since"]
        lower, upper = metric.delay, None
        if metric.days is not None and "no_window" not in forgets:
            upper = metric.delay + metric.days
        is_in = pd.Series(True, index=rows.index)
        if "no_delay" in forgets:
            lower = 0.0
        if "from_start" in forgets:
            is_in &= rows["at"] >= self.raw.registry["start_ts"]
        elif "before_exposure" not in forgets:
            is_in &= rows["at"] >= since + lower * DAY
        if upper is not None:
            is_in &= rows["at"] < since + upper * DAY
        if "after_watermark" not in forgets:
            is_in &= rows["at"] < self.raw.registry["watermark_ts"]
        return rows[is_in]

    def _of(self, rows: pd.DataFrame, units: pd.DataFrame, *names: str) -> Any:
        named = rows[rows["metric_name"].isin(names)]
        named = named[["user_id", "metric_name", "value", "at"]]
        known = units[["unit", "user_id", "since"]]
        return self._inside(known.merge(named, on="user_id"))

    def _values(self) -> pd.DataFrame:
        units, rows = self._units(), self._rows()
        found = self._of(rows, units, self.metric.outcome)
        units["value"] = units["unit"].map(self._aggregate(found, units)).fillna(0.0)
        kept = set(found["unit"])
        if self.metric.below:
            below = self._of(rows, units, self.metric.below)
            sums = below.groupby("unit")["value"].sum()
            units["below"] = units["unit"].map(sums).fillna(0.0)
            kept |= set(below["unit"])
        if self.metric.cap is not None and "no_cap" not in self.forgets:
            units["value"] = units["value"].clip(upper=self.metric.cap)
        units = units[self._is_complete(units)]
        if "rows_only" in self.forgets:
            if self.metric.steps:
                entry = self._of(rows, units, self.metric.steps[0])
                kept = set(entry["unit"])
            units = units[units["unit"].isin(kept)]
        return units

    def _aggregate(self, found: pd.DataFrame, units: pd.DataFrame) -> pd.Series:
        if self.metric.kind == "sum":
            return found.groupby("unit")["value"].sum()
        if self.metric.kind == "any":
            return found.groupby("unit")["value"].max().gt(0).astype(float)
        inside = self._of(self._rows(), units, *self.metric.steps).sort_values("at")
        return inside.groupby("unit").apply(self._walk, include_groups=False)

    def _walk(self, history: pd.DataFrame) -> float:
        """1 when every step comes later than the one before."""
        last = pd.Timestamp("1970-01-01", tz="UTC")
        steps = list(self.metric.steps)
        for name, at in zip(history["metric_name"], history["at"], strict=True):
            if steps and name == steps[0] and at > last:
                last = at
                steps.pop(0)
        return float(not steps)

    def _is_complete(self, units: pd.DataFrame) -> pd.Series:
        """Matured by the watermark, and no value missing."""
        metric = self.metric
        since = units["since"].dt.floor("D") if metric.is_by_day else units["since"]
        closes = since + (metric.delay + (metric.days or 0.0)) * DAY
        kept = pd.Series(True, index=units.index)
        if "immature_kept" not in self.forgets:
            kept &= closes <= self.raw.registry["watermark_ts"]
        if "missing_kept" not in self.forgets:
            lost = self.raw.outcomes[self.raw.outcomes["value"].isna()]
            lost = lost.assign(at=self._clock(lost["outcome_ts"]))
            for name in {metric.outcome, metric.below, *metric.steps} - {""}:
                kept &= ~units["unit"].isin(self._of(lost, units, name)["unit"])
        return kept


@pytest.fixture(scope="session")
def analyst() -> Callable[..., Any]:
    """Numbers by arm, from the raw files, the metric's facts and what is forgotten."""

    def count(
        folder: Path,
        facts: dict[str, Any],
        forgets: Collection[str] = (),
        hours: float = 0.0,
    ) -> dict[str, dict[str, float | None]]:
        return Analyst(read(folder), Metric(**facts), set(forgets), hours).numbers()

    read = cache(Raw)
    return count
