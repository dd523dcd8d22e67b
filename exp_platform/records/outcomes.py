"""What a metric, an arm, a check or a decision can be: closed sets, stored as text."""

from enum import StrEnum


class MetricType(StrEnum):
    """What one unit's value of a metric is."""

    MEAN = "mean"
    COUNT = "count"
    PROPORTION = "proportion"
    RATIO = "ratio"
    QUANTILE = "quantile"
    RETENTION = "retention"
    FUNNEL = "funnel"

    @property
    def is_share(self) -> bool:
        """A unit's value is yes or no, 1 or 0."""
        return self in {
            MetricType.PROPORTION,
            MetricType.RETENTION,
            MetricType.FUNNEL,
        }

    @property
    def has_daily_value(self) -> bool:
        """A unit has a value on a single day, which a panel can add up."""
        return self in {MetricType.MEAN, MetricType.COUNT, MetricType.PROPORTION}


class SourceKind(StrEnum):
    """Where a metric's rows come from."""

    OUTCOME = "outcome"
    EVENT = "event"


class CapOrigin(StrEnum):
    """When a percentile cap is taken from the data."""

    FIRST_LOOK = "first_look"
    PRE_PERIOD = "pre_period"


class Direction(StrEnum):
    """Which way is good."""

    INCREASE = "increase"
    DECREASE = "decrease"


class MetricRole(StrEnum):
    """What a metric is for in an experiment's plan."""

    GOAL = "goal"
    GUARDRAIL = "guardrail"
    MONITOR = "monitor"


class MarginScale(StrEnum):
    """Unit of a non-inferiority margin."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Assignment(StrEnum):
    """How units came to their variant."""

    RANDOMISED = "randomised"
    POLICY = "policy"
    SELF_SELECTED = "self_selected"


class LookMethod(StrEnum):
    """How several looks at one experiment share one error rate."""

    GROUP_SEQUENTIAL = "group_sequential"
    CONFIDENCE_SEQUENCE = "confidence_sequence"
    MSPRT = "msprt"
    FIXED = "fixed"


class EstimateRole(StrEnum):
    """Primary estimates decide, secondary ones stand beside, diagnostics explain."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    DIAGNOSTIC = "diagnostic"


class EstimateStatus(StrEnum):
    """OK has numbers; every other status has null numbers and a reason."""

    OK = "OK"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    NOT_IDENTIFIED = "NOT_IDENTIFIED"
    METRIC_ERRORED = "METRIC_ERRORED"


class CheckStatus(StrEnum):
    """Outcome of one trust check; NOT_RUN never counts as passed."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"
    NOT_RUN = "NOT_RUN"


class Verdict(StrEnum):
    """Can we trust this result?"""

    TRUSTED = "TRUSTED"
    CAUTION = "CAUTION"
    DO_NOT_USE = "DO_NOT_USE"


class Outcome(StrEnum):
    """What to do."""

    SHIP = "SHIP"
    ROLL_BACK = "ROLL_BACK"
    KEEP_RUNNING = "KEEP_RUNNING"
    REVIEW = "REVIEW"


class PretrendOutcome(StrEnum):
    """What the pre-period says about parallel trends (METHODS section 5)."""

    HOLDS = "HOLDS"
    UNDERPOWERED = "UNDERPOWERED"
    NEGLIGIBLE = "NEGLIGIBLE"
    FAILED = "FAILED"
