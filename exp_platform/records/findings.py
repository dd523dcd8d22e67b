"""What the core concludes: estimates, tests, checks, decisions, provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exp_platform.records.outcomes import (
    Assignment,
    CheckStatus,
    EstimateRole,
    EstimateStatus,
    MetricType,
    Outcome,
    PretrendOutcome,
    Verdict,
)

Details = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AssignmentFacts:
    """What the data allow, read by the method router.

    Attributes:
        n_clusters_control, n_clusters_treatment: smallest over the arms compared;
            None when treatment was assigned by unit.
        has_pre_period: units were observed before the event.
        declared_covariate: the plan declares a covariate for the metric.
        treatment_timings: number of different treatment dates.
        share_astray: of units whose cluster is unknown, or lies mostly in another arm.
        has_uptake: another metric says who received the treatment.
        share_uptake_unknown: of units about which it says nothing.
        n_covariates: facts from before units chose their arm.
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
    share_astray: float = 0.0
    has_uptake: bool = False
    share_uptake_unknown: float = 0.0
    n_covariates: int = 0


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
        relative_lift: difference / control mean, its interval by `relative_method`;
            `details["relative_reason"]` where it has none.
        p_value: two-sided, of the difference, by the method; in the rows of a run as if
            the data were looked at once. `relative_p_value` of the lift.
        sequential_p_value: two-sided, valid at every look so far; None = the row is not
            part of a sequence of looks.
        p_value_adjusted: after the correction of its family, if in one: goals Holm,
            the one that decides; single segments BH.
        harm_p_value: one-sided, of "no harm", valid at every look so far.
        statistic, df: as the method defines them (t and its degrees of freedom).
        period: `full`, or the registered post-period of a DiD.
        look: number of the look; None = all data up to the watermark. look_ts: its
            instant; the units' windows had closed by then.
        segment: subset of units, `all` or `attribute=value`; the attribute alone for a
            test over its levels.
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
    sequential_p_value: float | None = None
    p_value_adjusted: float | None = None
    harm_p_value: float | None = None
    alpha: float = 0.05
    statistic: float | None = None
    df: float | None = None
    n_clusters: int | None = None
    role: EstimateRole = EstimateRole.PRIMARY
    period: str = "full"
    look: int | None = None
    look_ts: datetime | None = None
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
    """Units of one arm that pass one stage of the unit ledger.

    Attributes:
        metric_name: of the stage `in_metric`, else "".
        n_rows: their exposure rows, where the stage has any.
        is_exclusion: units that do not pass leave the analysis; otherwise they are only
            counted here.
    """

    stage: str
    stage_order: int
    variant: str
    n_units: int
    metric_name: str = ""
    n_rows: int | None = None
    is_exclusion: bool = True


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
