"""Values that are not final yet, and drift before a policy: what may not decide."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
from numpy.random import Generator

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.causal.sensitivity import assess_sensitivity, note_sensitivity
from exp_platform.checks.pretrend import check_pretrend
from exp_platform.decision.decide import decide
from exp_platform.decision.family import adjust_goals
from exp_platform.decision.looks import due_looks
from exp_platform.decision.sequential import judge_looks
from exp_platform.decision.series import LookSeries, collect_looks
from exp_platform.pipelines.calibration.gate import (
    Array,
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.paths import schedule_at
from exp_platform.pipelines.calibration.series import draw_arms
from exp_platform.pipelines.calibration.totals import MEAN
from exp_platform.pipelines.calibration.trials import (
    CONTROL,
    DAY,
    START,
    TREATMENT,
    Trial,
    decide_at,
    define,
    pass_checks,
)
from exp_platform.records import (
    AnalysisPlan,
    Assignment,
    Direction,
    EstimateRole,
    ExperimentSpec,
    GramTotals,
    MetricPlan,
    MetricRole,
    MetricTotals,
    Outcome,
    PretrendOutcome,
    SequentialDesign,
    Variant,
)
from exp_platform.stats.moments import merge_totals
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.spending import Spending

DAYS = 28
WINDOW = 7
ARRIVALS = 0.75 ** np.arange(DAYS)
"""Units by day, in units of the first day's: most come early."""

AROUND = range(-7, 7)
FALSE = "false alarms over all looks"


def _growing(random: Generator, runs: int) -> Values:
    """Differences of the daily sums, one error each, by cohort and day."""
    growing, matured = [], []
    for start in range(0, runs, 500):
        size = min(500, runs - start)
        steps = random.standard_normal((size, DAYS, DAYS))
        growing.append(_read_growing(steps))
        matured.append(_read_matured(steps))
    return {
        f"{FALSE}, values so far": np.concatenate(growing),
        f"{FALSE}, matured units": np.concatenate(matured),
    }


def _last_p(z: Array, shares: Array, elapsed: Array) -> Array:
    return track_sequential_p(z, schedule_at(shares, elapsed), Spending())[:, -1]


def _read_growing(steps: Array) -> Flags:
    """By day t cohort e has had days e to t; only its units are counted."""
    units = ARRIVALS.cumsum() / ARRIVALS.sum()
    weights = np.tril(np.ones((DAYS, DAYS))) * np.sqrt(ARRIVALS)
    total = np.einsum("red,de->rd", steps, weights).cumsum(axis=1)
    spread = np.sqrt(np.sum(weights**2, axis=1).cumsum())
    return np.asarray(_last_p(total / spread, units, units) <= 0.05)


def _read_matured(steps: Array) -> Flags:
    """Cohort e counts from the day on which its window has closed, with all of it."""
    n = DAYS - WINDOW + 1
    final = np.stack(
        [steps[:, e, e : e + WINDOW].sum(axis=1) for e in range(n)], axis=1
    )
    weights = ARRIVALS[:n]
    units = weights.cumsum() / weights.sum()
    total = np.cumsum(np.sqrt(weights) * final, axis=1)
    z = total / np.sqrt(WINDOW * weights.cumsum())
    return np.asarray(_last_p(z, units, np.arange(WINDOW, DAYS + 1) / DAYS) <= 0.05)


def _day_one(random: Generator, runs: int) -> Values:
    """All units come on the first day; their values are final after seven."""
    trial = Trial(days=14, design=SequentialDesign(follow_up_days=float(WINDOW)))
    spec = replace(trial.spec, watermark_ts=START + (14 + WINDOW) * DAY)
    tested, early, unwindowed = [], [], []
    for _ in range(runs):
        series = [
            _collect(random, spec, plan.metric_name) for plan in spec.plan.metrics
        ]
        rows = judge_looks(spec, series, has_stop=False).estimates
        tested.append(any(row.is_ok for row in rows if (row.look or 0) <= WINDOW))
        answer = decide_at(spec, series, WINDOW - 1).outcome
        early.append(answer is not Outcome.KEEP_RUNNING)
        unwindowed.append(len(due_looks(spec, define("sum", None))) != 1)
    return {
        "runs with a test before the values are final": np.array(tested),
        "runs decided before the values are final": np.array(early),
        "metrics without a window looked at before the end": np.array(unwindowed),
    }


def _collect(random: Generator, spec: ExperimentSpec, name: str) -> LookSeries:
    """Matured on day 8: two sets of units, merged."""
    definition = define(name, float(WINDOW))
    looks = due_looks(spec, definition)
    cohorts = {
        variant: [(WINDOW + 1, _draw_cohort(random, name, variant))]
        for variant in (CONTROL, TREATMENT)
    }
    nobody = tuple(
        MetricTotals("simulated", name, variant, 0, None, None)
        for variant in (CONTROL, TREATMENT)
    )
    days = [round((look.instant - START) / timedelta(days=1)) for look in looks]
    found = collect_looks(looks, cohorts, days=days, arms=(nobody[0], nobody[1]))
    return LookSeries(definition, TREATMENT, found)


def _draw_cohort(random: Generator, name: str, variant: str) -> MetricTotals:
    parts = []
    for n in (1200, 900):
        arm = draw_normal(random, 1, n, mean=10.0)
        moments = (float(arm.mean[0]), float(arm.variance[0]))
        parts.append(MetricTotals("simulated", name, variant, n, *moments))
    return merge_totals(parts)


def _drift(random: Generator, runs: int) -> Values:
    """The treated group drifts by .02 sd a day, before and after; no effect."""
    trend = 0.02 * np.array(AROUND)
    pairs = draw_arms(random, runs, (500, 500), AROUND, rho=0.0, drift=trend)
    found = [_decide_policy(*pair) for pair in pairs]
    return {
        "difference in differences significant": np.array([one[0] for one in found]),
        "pre-trend called HOLDS": np.array([one[1] for one in found]),
        "experiments shipped": np.array([one[2] for one in found]),
    }


def _decide_policy(
    control: GramTotals, treatment: GramTotals
) -> tuple[bool, bool, bool]:
    row = estimate_did(panel_of(control), panel_of(treatment), MEAN)
    test = assess_pretrends(
        control, treatment, planned_effect=0.3, estimate=row, role=EstimateRole.PRIMARY
    )
    holds = test.outcome is PretrendOutcome.HOLDS
    if holds:
        # Only then may anything ship, and the bounds take time.
        row = note_sensitivity(row, assess_sensitivity(control, treatment))
    spec = _policy_spec()
    checks = [one for one in pass_checks(spec) if one.check_name != "PRETREND"]
    answer = decide(
        spec,
        adjust_goals([row], spec),
        checks=[*checks, check_pretrend(test)],
        guardrails=(),
        directions={"metric": Direction.INCREASE},
        pretrends=(test,),
    )[-1]
    is_significant = row.p_value is not None and row.p_value <= 0.05
    return is_significant, holds, answer.outcome is Outcome.SHIP


def _policy_spec() -> ExperimentSpec:
    """A policy on day 7 of 14, complete."""
    plan = AnalysisPlan((MetricPlan("metric", MetricRole.GOAL),))
    end = START + 14 * DAY
    return ExperimentSpec(
        "simulated",
        START,
        end,
        end,
        (Variant(CONTROL, 0.5), Variant(TREATMENT, 0.5)),
        CONTROL,
        plan,
        assignment=Assignment.POLICY,
        policy_ts=START + 7 * DAY,
        pre_period_days=7,
    )


SIMULATIONS = (
    Simulation(
        "growing_values",
        "group sequential test, O'Brien-Fleming",
        "28 daily looks, most units come early, their values grow every day; no effect",
        (track_sequential_p,),
        (
            disease(
                least(
                    f"{FALSE}, values so far", 0.10, why="METHODS section 3: .13 to .27"
                ),
                "only units whose window has closed are tested",
                "rule_day_one",
            ),
            equal(f"{FALSE}, matured units", 0.05),
        ),
        20_000,
        2_000,
        _growing,
    ),
    Simulation(
        "rule_day_one",
        "decision rule before the values are final",
        "all units come on the first day, a window of 7 days, daily looks",
        (collect_looks, due_looks, merge_totals),
        (
            equal("runs with a test before the values are final", 0.0),
            equal("runs decided before the values are final", 0.0),
            equal("metrics without a window looked at before the end", 0.0),
        ),
        100,
        4,
        _day_one,
    ),
    Simulation(
        "rule_drift",
        "decision rule for a policy, by difference in differences",
        "500 against 500 units, 7 days before and 7 after, drift of .02 sd a day, no "
        "effect",
        (decide,),
        (
            disease(
                least("difference in differences significant", 0.5),
                "a pre-trend that does not hold blocks SHIP, and so do bounds that reach 0",
                "tests/decision/test_rules_of_panels.py::test_did_does_not_ship_on_an_interval_that_reaches_zero",
            ),
            most("pre-trend called HOLDS", 0.20),
            most("experiments shipped", 0.025),
        ),
        2_000,
        150,
        _drift,
    ),
)
