"""The nouns of the platform: frozen records that every room hands on.

A record has no behaviour beyond what follows from its own fields. Numbers are plain
Python floats, instants are UTC datetimes, shares and rates run from 0 to 1.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Details = Mapping[str, Any]


class MetricType(StrEnum):
    """What one unit's value of a metric is."""

    MEAN = "mean"
    COUNT = "count"
    PROPORTION = "proportion"
    RATIO = "ratio"


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


@dataclass(frozen=True, slots=True)
class Covariate:
    """A value per unit from before its exposure.

    Attributes:
        metric_name: name in `outcomes` whose pre-exposure rows are aggregated as the
            metric's own rows are.
        lookback_days: days before exposure that count.
    """

    metric_name: str
    lookback_days: int = 14


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A contracted metric, as reviewed text.

    Attributes:
        numerator: name in `outcomes` whose rows make the value (all types).
        denominator: name in `outcomes` below the line of a ratio.
        aggregation: `sum`, `count` or `max` of a unit's rows; a proportion is
            "any row with a positive value".
        delay_days, window_days: an outcome counts from exposure + delay for
            `window_days` days; None = until the data's watermark.
        cap: largest value of a unit, absolute; None = uncapped.
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

    @property
    def definition_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of what makes the number."""
        meaning = asdict(self)
        for words in ("owner", "description", "unit_label"):
            del meaning[words]
        text = json.dumps(meaning, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """A metric's part in one experiment.

    Attributes:
        margin: largest harm that is still acceptable, a positive number; required
            for a guardrail, there is no default.
        mde: effect the experiment was sized for, relative to control.
        covariate: the plan declares the definition's covariate, so CUPED is primary.
    """

    metric_name: str
    role: MetricRole
    margin: float | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    mde: float | None = None
    covariate: bool = False


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What was promised before the data came in.

    Attributes:
        alpha: two-sided error rate of the goals together (Holm).
        alpha_harm: one-sided error rate of all harm tests together.
        min_units_per_arm: below this an arm is INSUFFICIENT_DATA.
        segments: exposure attributes to drill down by.
        tie_break: metric that picks among several shippable arms.
        accept_within_margin: ship although a guardrail is worse but inside its margin.
        keep_duplicates: rows that agree in every column are separate facts.
        bot_rows_per_day: outcome rows of a unit on one day above which it is a bot.
        exclude_bots: bots leave the analysis set.
    """

    metrics: tuple[MetricPlan, ...]
    alpha: float = 0.05
    alpha_harm: float = 0.05
    min_units_per_arm: int = 100
    segments: tuple[str, ...] = ()
    tie_break: str | None = None
    accept_within_margin: bool = False
    keep_duplicates: bool = False
    bot_rows_per_day: int = 100
    exclude_bots: bool = False

    def of(self, metric_name: str) -> MetricPlan:
        """The plan of one metric; an unplanned metric is only monitored."""
        for plan in self.metrics:
            if plan.metric_name == metric_name:
                return plan
        return MetricPlan(metric_name, MetricRole.MONITOR)

    def names(self, role: MetricRole) -> tuple[str, ...]:
        """Metric names with one role, in plan order."""
        return tuple(p.metric_name for p in self.metrics if p.role is role)


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm and its planned share of units."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """One row of `experiment_registry`: who, when, how assigned, what was planned.

    Attributes:
        start_ts, end_ts: exposures count in [start, end).
        watermark_ts: event time up to which the data are complete.
        variants: arms with their planned shares, control included.
        unit_type: what is randomised, e.g. `user`; for several units per cluster
            see `cluster`.
        policy_ts: instant a policy or roll-out took effect (not randomised).
        cluster: exposure attribute at whose level treatment was assigned.
        pre_period_days: registered calendar pre-period of DiD, 0 = none.
        is_dated: False when the input had no dates; nothing by day is computed.
    """

    experiment_id: str
    start_ts: datetime
    end_ts: datetime
    watermark_ts: datetime
    variants: tuple[Variant, ...]
    control: str
    plan: AnalysisPlan
    unit_type: str = "user"
    assignment: Assignment = Assignment.RANDOMISED
    policy_ts: datetime | None = None
    cluster: str | None = None
    pre_period_days: int = 0
    is_dated: bool = True
    owner: str = ""
    hypothesis: str = ""

    @property
    def treatments(self) -> tuple[str, ...]:
        """Names of the arms compared with control, in registry order."""
        return tuple(v.name for v in self.variants if v.name != self.control)

    @property
    def is_complete(self) -> bool:
        """The data reach the registered end."""
        return self.watermark_ts >= self.end_ts


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """Moments of per-unit values in one arm: all that the estimators need.

    Variances and covariances have divisor n - 1. Null where a part does not exist
    (no denominator, no covariate) or n < 2.

    Attributes:
        mean, variance: of the unit's value (of the numerator for a ratio).
        third_moment: central, divisor n.
        exact_sum: decimal text of the fixed-point sum, for the digest.
        denominator_*: of the unit's denominator; `denominator_covariance` with the
            value.
        covariate_*: of the pre-exposure value x; `covariate_covariance` with the
            value, `covariate_denominator_covariance` with the denominator.
        new_share: share of units whose x is unknown and counts as 0: first seen
            inside the look-back, or the value was quarantined; `new_covariance` of
            that indicator with the value.
        n_immature: units left out because their window had not closed by the
            watermark. n_missing: mature ones left out because a row of theirs had no
            value.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    mean: float | None
    variance: float | None
    segment: str = "all"
    third_moment: float | None = None
    min_value: float | None = None
    max_value: float | None = None
    exact_sum: str | None = None
    denominator_mean: float | None = None
    denominator_variance: float | None = None
    denominator_covariance: float | None = None
    covariate_mean: float | None = None
    covariate_variance: float | None = None
    covariate_covariance: float | None = None
    covariate_denominator_covariance: float | None = None
    new_share: float | None = None
    new_covariance: float | None = None
    n_immature: int = 0
    n_missing: int = 0


@dataclass(frozen=True, slots=True)
class AdjustmentTotals:
    """Moments of one arm's values together with any number of covariates.

    A unit whose covariate is unknown has 0 there and 1 in an indicator of its own.

    Attributes:
        covariates: names, in the order of the matrix.
        is_ratio: the second column is the unit's denominator.
        means: of (value, denominator of a ratio, covariates ...).
        covariance: among the same columns, divisor n - 1.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    covariates: tuple[str, ...]
    means: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    is_ratio: bool = False
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class ClusterTotals:
    """Moments over clusters in one arm, when whole clusters were assigned.

    Attributes:
        n: units. n_clusters: clusters.
        sum_mean, sum_variance: over clusters, of the sum of the units' values.
        size_mean, size_variance: over clusters, of the number of units (of the sum of
            the units' denominators for a ratio).
        size_covariance: of size and sum.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    sum_mean: float | None
    sum_variance: float | None
    size_mean: float | None
    size_variance: float | None
    size_covariance: float | None
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class QuantileTotals:
    """Order statistics of one arm around one quantile.

    Attributes:
        n: units. n_values: values (= n when each unit has one).
        quantile: 0 to 1; `value` is the order statistic number ceil(quantile x n_values).
        share_error: standard error of the share of values up to `value`; of clustered
            shares when units have several values.
        z: width of the search in those errors; `lower` and `upper` are the order
            statistics number ceil((quantile -+ z x share_error) x n_values).
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_values: int
    quantile: float
    value: float | None
    share_error: float | None
    z: float
    lower: float | None
    upper: float | None
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class TailTotals:
    """The units of one arm above a threshold that is common to all arms.

    Attributes:
        threshold: a pooled order statistic, e.g. of the top 0.1 %.
        n_above: units strictly above it. mean_above: of their values, null without
            units. variance_above: divisor n_above, null without units.
    """

    experiment_id: str
    metric_name: str
    variant: str
    threshold: float
    n_above: int
    mean_above: float | None
    variance_above: float | None
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class PanelTotals:
    """Unit-level change from pre- to post-period in one arm, for a 2x2 DiD.

    Attributes:
        n: units. n_clusters: clusters (= n when treatment was assigned by unit).
        mean_pre, mean_post: mean of units' daily averages.
        score_sum_of_squares: sum over clusters g of (sum over units i in g of
            (change_i - mean change of the arm))^2.
        pre_score_sum_of_squares: the same of the pre-period averages; null = the
            relative lift has no interval.
        pre_score_product: sum over clusters of the pre-period sum x the change sum.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    pre_days: int
    post_days: int
    mean_pre: float
    mean_post: float
    score_sum_of_squares: float
    pre_score_sum_of_squares: float | None = None
    pre_score_product: float | None = None


@dataclass(frozen=True, slots=True)
class GramTotals:
    """Daily means of one arm and their cross-products, for event studies.

    Attributes:
        days: day numbers relative to the event (-1 is the last whole day before).
        means: shape (n_days,), per-unit mean on each day, absent = 0.
        score_gram: shape (n_days, n_days), sum over clusters g of s_g s_g' where s_g
            sums (value - mean of the arm and day) over the units of g.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    days: tuple[int, ...]
    means: tuple[float, ...]
    score_gram: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class AssignmentFacts:
    """What the data allow, read by the method router.

    Attributes:
        n_clusters_control, n_clusters_treatment: smallest over the arms compared;
            None when treatment was assigned by unit.
        has_pre_period: units were observed before the event.
        declared_covariate: the plan declares a covariate for the metric.
        treatment_timings: number of different treatment dates.
    """

    assignment: Assignment
    metric_type: MetricType
    n_arms: int = 2
    has_policy_date: bool = False
    has_pre_period: bool = False
    has_covariate_data: bool = False
    declared_covariate: bool = False
    is_dated: bool = True
    n_clusters_control: int | None = None
    n_clusters_treatment: int | None = None
    treatment_timings: int = 1


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """One line of the router's answer: a method chosen with its role, or refused."""

    method: str
    is_chosen: bool
    role: EstimateRole | None
    reason: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """One comparison of one metric by one method; the row of `analysis_results`.

    Attributes:
        estimand: ATE, ITT, ATT ... of which population.
        difference: treatment - control, in units of the metric.
        relative_lift: difference / control mean, its interval by `relative_method`.
        p_value: two-sided, of the difference; `relative_p_value` of the lift.
        p_value_adjusted: after the correction of the plan's family, if in one.
        statistic, df: as the method defines them (t and its degrees of freedom).
        period: `full`, or the registered post-period of a DiD.
        segment: subset of units, `all` or `attribute=value`.
        status, reason: why there is no number, when there is none.
        details: typed extras of the method (theta, variance ratio, margins ...).
    """

    experiment_id: str
    metric_name: str
    method: str
    control: str
    treatment: str
    status: EstimateStatus
    estimand: str = "ATE"
    n_control: int | None = None
    n_treatment: int | None = None
    control_mean: float | None = None
    treatment_mean: float | None = None
    difference: float | None = None
    standard_error: float | None = None
    ci_lower: float | None = None
    ci_upper: float | None = None
    relative_lift: float | None = None
    relative_ci_lower: float | None = None
    relative_ci_upper: float | None = None
    relative_method: str | None = None
    p_value: float | None = None
    relative_p_value: float | None = None
    p_value_adjusted: float | None = None
    alpha: float = 0.05
    statistic: float | None = None
    df: float | None = None
    n_clusters: int | None = None
    role: EstimateRole = EstimateRole.PRIMARY
    period: str = "full"
    look: int | None = None
    metric_version: str = ""
    segment: str = "all"
    reason: str = ""
    details: Details = field(default_factory=dict)
    run_id: str = ""
    computed_at: datetime | None = None

    @property
    def is_ok(self) -> bool:
        """There is a number."""
        return self.status is EstimateStatus.OK


@dataclass(frozen=True, slots=True)
class PretrendDelta:
    """One day of an event study; the row of `did_pretrend_delta`.

    Attributes:
        day: relative to the event; the reference day has delta 0 and no error.
        delta: (treatment - control on the day) - (the same on the reference day).
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    day: int
    period: str
    delta: float | None
    standard_error: float | None
    ci_lower: float | None
    ci_upper: float | None
    p_value: float | None
    n_control: int
    n_treatment: int
    is_reference: bool = False
    run_id: str = ""
    computed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PretrendTest:
    """Do pre-period trends run parallel, and could we have seen it if not?

    Attributes:
        outcome: one of the four of METHODS section 5; None when not computable.
        p_joint: F test that all leads are 0 (df_numerator, df_denominator).
        slope, slope_se, p_slope: drift of the difference per day before the event.
        p_adjusted: smaller p of the two after Holm.
        bias: slope projected from the pre- to the post-period centre.
        tolerance: largest bias that would not matter.
        detectable_bias: bias that the slope test finds with 80 % power.
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    status: EstimateStatus
    outcome: PretrendOutcome | None = None
    n_pre_days: int = 0
    f_statistic: float | None = None
    df_numerator: int | None = None
    df_denominator: float | None = None
    p_joint: float | None = None
    slope: float | None = None
    slope_se: float | None = None
    p_slope: float | None = None
    p_adjusted: float | None = None
    bias: float | None = None
    tolerance: float | None = None
    detectable_bias: float | None = None
    role: EstimateRole = EstimateRole.DIAGNOSTIC
    reason: str = ""
    run_id: str = ""
    computed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One trust check; the row of `check_results`.

    Attributes:
        check_name: coded name, e.g. SRM. subject: metric, arm or stage; "" = all.
        reason: coded cause. message: one sentence with the number in it.
        value, threshold: what was measured and where it begins to matter.
        p_value: of a stochastic check, after Holm within the run's family.
        impact: how far the problem could move an estimate, in `impact_unit`; None =
            not bounded.
        can_fail: this check may say FAILED (and its absence blocks SHIP).
    """

    experiment_id: str
    check_name: str
    status: CheckStatus
    reason: str
    message: str
    subject: str = ""
    value: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    impact: float | None = None
    impact_unit: str = ""
    can_fail: bool = False
    details: Details = field(default_factory=dict)
    run_id: str = ""
    computed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one arm (`treatment`), or about all of them (`treatment` "").

    Attributes:
        rule: letter of METHODS section 4 that matched, (a) to (f).
        reasons: coded, the deciding one first.
        rationale: one or two sentences for people.
        would_change: what would have to happen for another outcome.
    """

    experiment_id: str
    treatment: str
    outcome: Outcome
    rule: str
    verdict: Verdict
    reasons: tuple[str, ...]
    rationale: str
    would_change: str = ""
    details: Details = field(default_factory=dict)
    run_id: str = ""
    computed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LedgerStage:
    """Units of one arm that survived one stage of the unit ledger."""

    stage: str
    stage_order: int
    variant: str
    n_units: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is needed to run it again and get the same numbers.

    Attributes:
        snapshots: table -> snapshot id this run read or wrote.
        digest: SHA-256 over exact counts and fixed-point sums.
    """

    run_id: str
    code_version: str
    config_hash: str
    definition_hash: str
    engine: str
    packages: Mapping[str, str]
    snapshots: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    seed: int | None = None
