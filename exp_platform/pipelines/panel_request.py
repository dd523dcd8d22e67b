"""How a ready-made panel's columns are to be read, and what its analysis must know."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from exp_platform.errors import ContractError, UsageError, did_you_mean

_WORDS = frozenset({"year", "quarter", "month"})
_ARGUMENTS = {"policy-date": "policy_date", "covariate": "covariates"}
"""Options that a Python function calls by another name than the command line."""
_STEPS = {timedelta(days=1): "day", timedelta(days=7): "week"}


@dataclass(frozen=True, slots=True)
class PanelRequest:
    """How a panel's columns are to be read.

    Attributes:
        time: column with the period.
        outcomes: metric -> column.
        unit: column with the unit's identifier; None = each row is a unit.
        cohort: column with the first treated period; null, 0 or `never` = never.
        treated: column that says whether the unit's group is treated (0/1, or a value
            that is not `untreated`); without `policy_date` it is read row by row.
        untreated: value of `treated` that is the control group. treated_value: value of
            it that is the treated one.
        policy_date: period or date from which the treated group is treated.
        cluster: column with the level at which treatment was assigned.
        weight: column with a unit's weight, above 0.
        covariates: columns with facts from before treatment; the value of a unit's
            first period counts.
        decreases: metrics for which less is better.
        is_called: asked by a Python function, whose arguments errors then name.
    """

    time: str
    outcomes: Mapping[str, str]
    unit: str | None = None
    cohort: str | None = None
    treated: str | None = None
    untreated: str | None = None
    treated_value: str | None = None
    policy_date: str | None = None
    cluster: str | None = None
    weight: str | None = None
    covariates: Sequence[str] = ()
    decreases: Sequence[str] = ()
    is_called: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """Every named column by the option that named it."""
        named = {
            "time": self.time,
            "unit": self.unit,
            "cohort": self.cohort,
            "treated": self.treated,
            "cluster": self.cluster,
            "weight": self.weight,
        }
        found = {self.option(name): column for name, column in named.items() if column}
        found |= {self.option("outcome", name): c for name, c in self.outcomes.items()}
        return found | {self.option("covariate", c): c for c in self.covariates}

    def option(self, name: str, value: str = "") -> str:
        """How an option is written by whoever asks: `--cohort COL`, or `cohort='COL'`.

        Args:
            name: of the flag, without dashes in front.
            value: that it has; empty = none in particular.
        """
        if self.is_called:
            name = _ARGUMENTS.get(name, name)
            return f"{name}={value!r}" if value else f"{name}="
        return f"--{name} {value}".rstrip()

    @property
    def repair(self) -> str:
        """What to do about an option that names nothing."""
        if self.is_called:
            return "correct the argument"
        return "correct the flag; nothing was written"


@dataclass(frozen=True, slots=True)
class PanelLayout:
    """What the analysis has to know of an imported panel; a column of the registry.

    Attributes:
        grain: year, month, quarter, date or step.
        labels: of the periods, as delivered. starts: their instants, ISO 8601.
        is_cross_section: no unit is seen twice.
        covariates: names of the attributes `covariate:<name>`.
        has_weights: every unit has an attribute `weight`.
    """

    grain: str
    labels: tuple[str, ...]
    starts: tuple[str, ...]
    is_cross_section: bool
    covariates: tuple[str, ...] = ()
    has_weights: bool = False

    @property
    def period_word(self) -> str:
        """What one period is called by people; dates by the steps between them."""
        if self.grain in _WORDS:
            return self.grain
        steps = {after - before for before, after in pairwise(self.dates)}
        word = _STEPS.get(steps.pop()) if len(steps) == 1 else None
        return word if word and self.grain == "date" else "period"

    def name_instant(self, instant: datetime) -> str:
        """The label of the period that begins at an instant; empty = none does."""
        named = dict(zip(self.dates, self.labels, strict=True))
        return named.get(instant, "")

    @property
    def dates(self) -> tuple[datetime, ...]:
        """The instants that periods begin with."""
        return tuple(map(datetime.fromisoformat, self.starts))


def check_panel_request(
    request: PanelRequest, columns: Mapping[str, str], file: Path
) -> None:
    """Refuse a mapping that the file cannot carry.

    Args:
        request: the mapping.
        columns: of the file.
        file: for the error.

    Raises:
        UsageError: a column that does not exist, or not exactly one way to say who was
            treated when.
    """
    for option, column in request.columns.items():
        if column not in columns:
            raise UsageError(
                f"there is no column {column!r}",
                where=f"{option}, {file}",
                allowed=did_you_mean(column, columns),
                next_step=request.repair,
            )
    for name in request.covariates:
        if request.covariates.count(name) > 1:
            raise UsageError(
                f"the covariate {name!r} is named twice",
                where=request.option("covariate", name),
                next_step=request.repair,
            )
    if not request.outcomes:
        raise UsageError("name at least one metric with --outcome METRIC=COL")
    for name in request.decreases:
        if name not in request.outcomes:
            raise UsageError(
                f"{name!r} is not a metric of this import",
                where="--decrease",
                allowed=did_you_mean(name, request.outcomes),
            )
    if (request.cohort is None) == (request.treated is None):
        cohort, treated = (
            request.option("cohort", "COL"),
            request.option("treated", "COL"),
        )
        or_else = "" if request.is_called else " (or --treated-from COL)"
        date = request.option("policy-date", "D")
        raise UsageError(
            "say once who was treated, and when",
            allowed=f"{cohort}{or_else}, or {treated} with {date}",
        )
    if request.cohort is not None and (request.policy_date or request.untreated):
        wrong = request.option("policy-date" if request.policy_date else "control")
        treated, cohort = request.option("treated"), request.option("cohort")
        raise UsageError(f"{wrong} belongs to {treated}, not to {cohort}")


def write_layout(layout: PanelLayout) -> str:
    """The JSON text of a layout; `read_layout` gives the same one back."""
    names = PanelLayout.__slots__
    return json.dumps({name: getattr(layout, name) for name in names}, sort_keys=True)


def read_layout(document: str) -> PanelLayout:
    """A layout from the registry's column `panel`.

    Raises:
        ContractError: not the JSON text of a layout.
    """
    try:
        found = json.loads(document)
        parts: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.items()
        }
        layout = PanelLayout(**parts)
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ContractError(
            "the panel's layout cannot be read",
            where="experiment_registry, column panel",
            found=document[:200],
            next_step="import the panel again",
        ) from error
    return layout
