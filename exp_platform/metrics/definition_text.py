"""A metric definition as people write it: keys, types and bounds.

The JSON Schema of these models is published beside the definitions, for editors. Rules
that concern several keys stand in `definition_rules`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exp_platform.records import SourceKind

Name = Annotated[
    str, Field(min_length=1, max_length=128, pattern=r"^[^\r\n]([\s\S]*[^\r\n])?$")
]
Aggregation = Literal["sum", "count", "max", "distinct"]
Days = Annotated[float, Field(ge=0, le=3650, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Lookback = Annotated[int, Field(ge=1, le=365)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class RowsText(_Strict):
    """Rows of an outcome or event."""

    outcome: Name | None = None
    """Name in the table `outcomes`."""
    event: Name | None = None
    """Name of an event in `fact_event`."""
    filter: str = ""
    """Condition a row must meet, over value, ts, event and an event's properties."""

    @property
    def source_name(self) -> str:
        """Of the outcome or the event; empty = neither is named."""
        return self.outcome or self.event or ""

    @property
    def kind(self) -> SourceKind:
        """Where the rows stand."""
        return SourceKind.OUTCOME if self.event is None else SourceKind.EVENT


class SourceText(RowsText):
    """Rows of an outcome or event, and what each is worth."""

    value: str = ""
    """What a row is worth, over the same columns; without it, the value it came with."""


class PartText(SourceText):
    """One part of a ratio."""

    aggregation: Aggregation | None = None
    """Of a unit's rows; without it, the metric's."""


class WindowText(_Strict):
    """When a row counts, from the unit's first exposure on."""

    days: Annotated[Positive | None, Field(le=3650)] = None
    """Length; without it, until the data's watermark."""
    delay_days: Days = 0.0
    """Days after the exposure at which the window opens."""
    grain: Literal["instant", "day"] = "instant"
    """`day` for rows that have a date only: calendar days in UTC, the exposure's is 0."""


class CapText(_Strict):
    """Largest value of a unit that counts: a number, or an order statistic."""

    value: Positive | None = None
    """The number itself."""
    percentile: Share | None = None
    """Share of units at or below the cap, e.g. 0.999; taken once, then frozen."""
    nonzero: bool = False
    """Rank only units whose total is not 0."""
    taken_from: Literal["first_look", "pre_period"] = "first_look"
    """From the values at the first look, or from as many days before the exposure."""


def _read_cap(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"value": value} if is_number else value


Cap = Annotated[
    CapText, BeforeValidator(_read_cap, json_schema_input_type=float | CapText)
]


class CovariateText(SourceText):
    """What units did before their exposure; the metric's own rows unless named."""

    name: Name | None = None
    """What it is called among several; without it, the outcome or event. Both parts of a
    ratio's own past have it."""
    lookback_days: Lookback = 14
    """Days before the exposure."""
    aggregation: Aggregation | None = None
    """Of a unit's rows; without it, as the metric's own value."""
    cap: Cap | None = None
    """The covariate's own cap."""


class RetentionText(_Strict):
    """Days after the exposure on which a unit must come back."""

    day: Annotated[int, Field(ge=0, le=3650)] | None = None
    """Back on this day, [day, day + 1) days after the exposure."""
    from_days: Days | None = None
    """Back in [from_days, to_days)."""
    to_days: Annotated[Positive | None, Field(le=3650)] = None
    """End of the window, exclusive."""
    rolling: bool = False
    """Back on `day` or later, until to_days or the watermark."""


class DefaultsText(_Strict):
    """What a plan takes over where it says nothing about this metric."""

    role: Literal["goal", "guardrail", "monitor"] = "monitor"
    """The metric's part in an experiment."""
    margin: Positive | None = None
    """Largest harm that is acceptable, for a guardrail."""
    margin_scale: Literal["relative", "absolute"] = "relative"
    """Unit of the margin: a share of control, or the metric's own."""
    mde: Positive | None = None
    """Effect to size for, relative to control."""


class MetricText(_Strict):
    """A metric: what one unit's value is."""

    name: Name
    """The metric's key; the file is named after it."""
    version: Annotated[int, Field(ge=1)] = 1
    """Goes up with every change of meaning."""
    owner: str = ""
    """Team that answers for the definition."""
    description: str = ""
    """What the number says, in a sentence."""
    tags: tuple[Name, ...] = ()
    """Words to find it by."""
    unit_label: str = ""
    """Unit of the value, for people."""
    type: Literal[
        "mean", "count", "proportion", "ratio", "quantile", "retention", "funnel"
    ]
    """What a unit's value is."""
    direction: Literal["increase", "decrease"] = "increase"
    """Which way is good."""
    source: SourceText | None = None
    """Rows that make the value (all types but ratio and funnel)."""
    numerator: PartText | None = None
    """Above the line of a ratio."""
    denominator: PartText | None = None
    """Below the line of a ratio."""
    steps: Annotated[tuple[RowsText, ...], Field(max_length=20)] = ()
    """Of a funnel, in order; the value is whether the last was reached."""
    aggregation: Aggregation = "sum"
    """Of a unit's rows (mean, count, ratio, quantile)."""
    quantile: Share | None = None
    """Which quantile, e.g. 0.95 (quantile)."""
    of: Literal["units", "rows"] = "units"
    """Quantile of the units' values, or of the single rows."""
    retention: RetentionText | None = None
    """When a unit must come back (retention)."""
    window: WindowText = WindowText()
    """When a row counts."""
    attribution: Literal["first_exposure"] = "first_exposure"
    """The window starts at the first exposure, whichever arms a unit met later."""
    cap: Cap | None = None
    """Largest value of a unit that counts (mean, count, ratio's numerator)."""
    covariate: CovariateText | None = None
    """What units did before, for CUPED."""
    covariates: Annotated[tuple[CovariateText, ...], Field(max_length=8)] = ()
    """Several of them."""
    defaults: DefaultsText = DefaultsText()
    """Role and margin where a plan names none."""

    @property
    def all_covariates(self) -> tuple[CovariateText, ...]:
        """Those of `covariate` and of `covariates`."""
        first = () if self.covariate is None else (self.covariate,)
        return (*first, *self.covariates)
