"""A metric as a contract: what one unit's value is, and nothing about an experiment."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from exp_platform.records.outcomes import (
    CapOrigin,
    Direction,
    MarginScale,
    MetricRole,
    MetricType,
    SourceKind,
)


@dataclass(frozen=True, slots=True)
class RowRule:
    """Which rows of an outcome or event count, and what each is worth.

    Attributes:
        kind: rows of `outcomes`, or events.
        filter: expression that must hold for a row; "" = every row counts.
        value: expression for what a row is worth; "" = the value it came with.
    """

    kind: SourceKind = SourceKind.OUTCOME
    filter: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class PercentileCap:
    """A cap that the data name once; the number is then frozen in the plan.

    Attributes:
        share: 0 to 1; the cap is order statistic number ceil(share x n) of the unit
            totals, pooled over arms.
        is_nonzero: only units with a total other than 0 are ranked.
        origin: when the number is taken.
    """

    share: float
    is_nonzero: bool = False
    origin: CapOrigin = CapOrigin.FIRST_LOOK


@dataclass(frozen=True, slots=True)
class Covariate:
    """A value per unit from before its exposure.

    Attributes:
        metric_name: outcome or event whose pre-exposure rows are aggregated.
        lookback_days: days before exposure that count.
        rows: which of them, as for the metric itself.
        aggregation: of a unit's rows; "" = as the metric's own.
        cap: largest value of a unit, absolute or frozen; None = uncapped.
        percentile_cap: where the cap comes from, if not from the definition.
        name: what it is called among the metric's covariates; "" = `metric_name`.
    """

    metric_name: str
    lookback_days: int = 14
    rows: RowRule = RowRule()
    aggregation: str = ""
    cap: float | None = None
    percentile_cap: PercentileCap | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """Name among a metric's covariates: sessions_14d."""
        return f"{self.name or self.metric_name}_{self.lookback_days}d"


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of a funnel: rows of an outcome or event."""

    name: str
    rows: RowRule = RowRule()


@dataclass(frozen=True, slots=True)
class RoleDefaults:
    """What a plan takes over for this metric where it says nothing itself.

    Attributes:
        margin: largest acceptable harm, positive; a guardrail has none by itself.
        mde: effect to size for, relative to control.
    """

    role: MetricRole = MetricRole.MONITOR
    margin: float | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    mde: float | None = None


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A contracted metric, as reviewed text.

    Attributes:
        numerator: name in `outcomes`, or event, whose rows make the value; the last
            step of a funnel.
        denominator: the same below the line of a ratio.
        aggregation: `sum`, `count`, `max` or `distinct` of a unit's rows; a share is
            "any row that happened".
        delay_days, window_days: a row counts from exposure + delay for `window_days`
            days; None = until the data's watermark.
        cap: largest value of a unit, absolute or frozen; None = uncapped.
        rows, denominator_rows: which rows count and what each is worth.
        more_covariates: beside `covariate`, the first one.
        steps: of a funnel, in order; the value is whether the last was reached.
        quantile: 0 to 1, of a quantile metric; `is_of_rows` of the single rows rather
            than of the units' values.
        is_day_grained: rows have a date only, so days are calendar days in UTC and the
            exposure's day is day 0.
        percentile_cap: where the cap comes from, if not from the definition.
        attribution: which exposure the window starts from.
    """

    name: str
    version: int
    type: MetricType
    direction: Direction
    numerator: str
    owner: str = ""
    description: str = ""
    denominator: str | None = None
    aggregation: str = "sum"
    delay_days: float = 0.0
    window_days: float | None = None
    cap: float | None = None
    covariate: Covariate | None = None
    unit_label: str = ""
    rows: RowRule = RowRule()
    denominator_rows: RowRule = RowRule()
    denominator_aggregation: str = "sum"
    more_covariates: tuple[Covariate, ...] = ()
    steps: tuple[FunnelStep, ...] = ()
    quantile: float | None = None
    is_of_rows: bool = False
    is_day_grained: bool = False
    percentile_cap: PercentileCap | None = None
    attribution: str = "first_exposure"
    tags: tuple[str, ...] = ()
    defaults: RoleDefaults = RoleDefaults()

    @property
    def covariates(self) -> tuple[Covariate, ...]:
        """All of them, the first one first."""
        first = () if self.covariate is None else (self.covariate,)
        return (*first, *self.more_covariates)

    @property
    def definition_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of what makes the number.

        Neither the version nor a field at its default is part of it, so that a new
        kind of field leaves the hash of every older definition as it was.
        """
        text = json.dumps(_meaning(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def metric_version(self) -> str:
        """Version and hash, as results store them."""
        return f"{self.version}:{self.definition_hash}"


_WORDS = frozenset(
    {"version", "owner", "description", "unit_label", "tags", "defaults"}
)


def _meaning(record: Any) -> Any:
    """Fields that differ from their default; a frozen number gives way to its rule."""
    if isinstance(record, tuple):
        return [_meaning(part) for part in record]
    if not is_dataclass(record):
        return record
    return dict(_told(record))


def _told(record: Any) -> Iterator[tuple[str, Any]]:
    is_frozen = getattr(record, "percentile_cap", None) is not None
    for field in fields(record):
        value = getattr(record, field.name)
        is_word = isinstance(record, MetricDefinition) and field.name in _WORDS
        if is_word or value == field.default or (field.name == "cap" and is_frozen):
            continue
        yield field.name, _meaning(value)
