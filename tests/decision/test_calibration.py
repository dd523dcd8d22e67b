"""Error rates of the whole rule: three goals, three guardrails, one look at the end.

METHODS section 7: without an effect P(ROLL_BACK) <= .05 and P(SHIP) <= .025; with a
guardrail at its margin P(SHIP) <= .025. Bounds carry 3 Monte Carlo standard errors.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from exp_platform.decision.family import adjust_goals
from exp_platform.records import Direction, MetricPlan, MetricRole, Outcome
from exp_platform.stats.guardrail import GuardrailAssessment, GuardrailStatus

pytestmark = pytest.mark.calibration

RUNS = 3000
GOALS = ("g1", "g2", "g3")
GUARDS = ("r1", "r2", "r3")
# Standard errors between no effect and the margin.
MARGIN = 3.0


def row(template, name, z):
    return replace(
        template,
        metric_name=name,
        difference=0.005 * z,
        statistic=z,
        df=None,
        p_value=2 * ndtr(-abs(z)),
        p_value_adjusted=None,
    )


def guard(name, z):
    is_inside = ndtr(-(z + MARGIN)) <= 0.025
    harm = ndtr(z)
    return GuardrailAssessment(
        "e",
        name,
        "B",
        GuardrailStatus.NON_INFERIOR if is_inside else GuardrailStatus.NOT_SHOWN,
        margin=0.05,
        bound=0.0,
        harm_p_value=harm,
        is_degraded=harm <= 0.025,
    )


def simulate(case, goal_shift, guard_shifts):
    """Shares of outcomes over runs, for effects in standard errors."""
    random = np.random.default_rng(20260301)
    metrics = (
        *(MetricPlan(name, MetricRole.GOAL) for name in GOALS),
        *(MetricPlan(name, MetricRole.GUARDRAIL, margin=0.05) for name in GUARDS),
    )
    case = case.plan(metrics=metrics)
    case = replace(case, directions=dict.fromkeys(GOALS + GUARDS, Direction.INCREASE))
    shifts = np.array([goal_shift] * 3 + list(guard_shifts))
    counts = dict.fromkeys(Outcome, 0)
    for z in (random.standard_normal((RUNS, 6)) + shifts).tolist():
        rows = [
            row(case.estimates[0], name, value)
            for name, value in zip(GOALS + GUARDS, z, strict=True)
        ]
        run = replace(
            case,
            estimates=adjust_goals(rows, case.spec),
            guardrails=tuple(map(guard, GUARDS, z[3:])),
        )
        counts[run.decide()[-1].outcome] += 1
    return {outcome: count / RUNS for outcome, count in counts.items()}


def bound(share):
    return share + 3 * (share * (1 - share) / RUNS) ** 0.5


def test_no_effect_is_rarely_rolled_back_or_shipped(shippable):
    shares = simulate(shippable, 0.0, (0.0, 0.0, 0.0))
    assert shares[Outcome.ROLL_BACK] <= bound(0.05)
    assert shares[Outcome.SHIP] <= bound(0.025)


def test_a_guardrail_at_its_margin_rarely_ships(shippable):
    shares = simulate(shippable, 6.0, (-MARGIN, 2.0, 2.0))
    assert shares[Outcome.SHIP] <= bound(0.025)


def test_a_clear_success_ships(shippable):
    shares = simulate(shippable, 5.0, (1.0, 1.0, 1.0))
    assert shares[Outcome.SHIP] >= 0.9


def test_a_clear_harm_is_rolled_back(shippable):
    shares = simulate(shippable, 0.0, (-6.0, 0.0, 0.0))
    assert shares[Outcome.ROLL_BACK] >= 0.99
