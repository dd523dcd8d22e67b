"""A case that may ship, and the parts to break it with."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exp_platform.decision.decide import decide
from exp_platform.records import (
    AnalysisPlan,
    CheckResult,
    CheckStatus,
    Decision,
    Direction,
    Estimate,
    EstimateStatus,
    ExperimentSpec,
    MetricPlan,
    MetricRole,
    PretrendTest,
    Variant,
)
from exp_platform.stats.guardrail import GuardrailAssessment, GuardrailStatus
from tests.decision.trials import Trial

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=14)


def make_check(name: str, **changes: Any) -> CheckResult:
    check = CheckResult("e", name, CheckStatus.PASSED, "FINE", "Fine.", can_fail=True)
    return replace(check, **changes)


def make_goal(name: str = "orders", treatment: str = "B", **changes: Any) -> Estimate:
    estimate = Estimate(
        experiment_id="e",
        metric_name=name,
        method="welch_t",
        control="A",
        treatment=treatment,
        status=EstimateStatus.OK,
        n_control=5000,
        n_treatment=5000,
        control_mean=0.1,
        treatment_mean=0.12,
        difference=0.02,
        standard_error=0.005,
        ci_lower=0.0102,
        ci_upper=0.0298,
        relative_lift=0.2,
        p_value=6.4e-5,
        p_value_adjusted=1.3e-4,
        statistic=4.0,
        df=9990.0,
    )
    return replace(estimate, **changes)


def make_flat(name: str, treatment: str = "B", **changes: Any) -> Estimate:
    """No effect to speak of."""
    flat = {
        "difference": 0.001,
        "treatment_mean": 0.101,
        "ci_lower": -0.0088,
        "ci_upper": 0.0108,
        "relative_lift": 0.01,
        "p_value": 0.84,
        "p_value_adjusted": 0.84,
        "statistic": 0.2,
    }
    return make_goal(name, treatment, **{**flat, **changes})


def make_guardrail(treatment: str = "B", **changes: Any) -> GuardrailAssessment:
    guardrail = GuardrailAssessment(
        experiment_id="e",
        metric_name="refunds",
        treatment=treatment,
        status=GuardrailStatus.NON_INFERIOR,
        margin=0.05,
        bound=0.012,
        p_value=0.001,
        harm_p_value=0.4,
    )
    return replace(guardrail, **changes)


@dataclass(frozen=True)
class Case:
    spec: ExperimentSpec
    estimates: tuple[Estimate, ...]
    checks: tuple[CheckResult, ...]
    guardrails: tuple[GuardrailAssessment, ...]
    directions: dict[str, Direction] = field(
        default_factory=lambda: {
            "orders": Direction.INCREASE,
            "revenue": Direction.INCREASE,
            "refunds": Direction.DECREASE,
        }
    )
    pretrends: tuple[PretrendTest, ...] = ()

    def decide(self) -> tuple[Decision, ...]:
        return decide(
            self.spec,
            self.estimates,
            checks=self.checks,
            guardrails=self.guardrails,
            directions=self.directions,
            pretrends=self.pretrends,
        )

    def plan(self, **changes: Any) -> "Case":
        plan = replace(self.spec.plan, **changes)
        return replace(self, spec=replace(self.spec, plan=plan))


@pytest.fixture
def shippable() -> Case:
    """One arm, two goals of which one is better, one guardrail inside its margin."""
    plan = AnalysisPlan(
        metrics=(
            MetricPlan("orders", MetricRole.GOAL),
            MetricPlan("revenue", MetricRole.GOAL),
            MetricPlan("refunds", MetricRole.GUARDRAIL, margin=0.05),
        )
    )
    spec = ExperimentSpec(
        experiment_id="e",
        start_ts=START,
        end_ts=END,
        watermark_ts=END,
        variants=(Variant("A", 0.5), Variant("B", 0.5)),
        control="A",
        plan=plan,
    )
    return Case(
        spec=spec,
        estimates=(make_goal(), make_flat("revenue"), make_flat("refunds")),
        checks=tuple(make_check(n) for n in ("SRM", "SQL_TWIN", "KEYS", "CROSSOVER")),
        guardrails=(make_guardrail(),),
    )


@pytest.fixture
def two_arms(shippable: Case) -> Case:
    """The same with a second arm that may ship too."""
    spec = replace(
        shippable.spec,
        variants=(Variant("A", 0.4), Variant("B", 0.3), Variant("C", 0.3)),
    )
    more = tuple(replace(e, treatment="C") for e in shippable.estimates)
    return replace(
        shippable,
        spec=spec,
        estimates=(*shippable.estimates, *more),
        guardrails=(make_guardrail(), make_guardrail("C")),
    )


@pytest.fixture
def trial(shippable):
    """Orders better, revenue flat, refunds inside a margin of 5 % (less is worse)."""
    case = shippable.plan(
        metrics=(
            MetricPlan("orders", MetricRole.GOAL),
            MetricPlan("revenue", MetricRole.GOAL),
            MetricPlan("refunds", MetricRole.GUARDRAIL, margin=0.05),
        )
    )
    checks = tuple(
        replace(shippable.checks[0], check_name=name)
        for name in ("SRM", "SQL_TWIN", "KEYS", "CROSSOVER", "MISSING_VALUES")
    )
    case = replace(case, checks=checks)
    return Trial(case, {"orders": 0.35, "revenue": 0.0, "refunds": 0.0})
