"""Whole experiments read at every look, from totals alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.decision.looks import due_looks
from exp_platform.decision.sequential import judge_looks, strip_looks
from exp_platform.decision.series import LookSeries, collect_looks, plan_units
from exp_platform.records import (
    Direction,
    EstimateRole,
    EstimateStatus,
    LookMethod,
    MarginScale,
    MetricTotals,
    MetricType,
    Outcome,
    SequentialDesign,
)
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    estimate_confidence_sequence,
)
from exp_platform.stats.group_sequential import estimate_group_sequential
from exp_platform.stats.guardrail import GuardrailStatus
from exp_platform.stats.looks import SequentialPlan
from exp_platform.stats.msprt import estimate_msprt
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch
from tests.decision.trials import (
    DAYS,
    MEAN,
    PER_DAY,
    WINDOW,
    metric,
    primary,
    rows_of,
)


def assert_close(one, other):
    # Nodes of the integration move with the last look's information: 1e-9 of z.
    assert one is other is None or one == pytest.approx(other, rel=1e-7)


@pytest.mark.parametrize(
    ("per_day", "day", "tested"),
    [
        (99, 5, [4, 5]),  # 99 units of each arm at look 3
        (100, 5, [3, 4, 5]),
        (5, DAYS - 1, []),
        (5, DAYS, [DAYS]),  # at the end as many as the plan asks for are enough
    ],
)
def test_judge_looks_waits_for_100_units_of_each_arm_before_the_end(
    trial, per_day, day, tested
):
    small = replace(trial, case=trial.case.plan(min_units_per_arm=20), per_day=per_day)
    judged = small.judge(day)
    places = [e.details["sequential"] for e in rows_of(judged, "orders")]
    found = [k for k, own in enumerate(places, 1) if own["status"] == "TESTED"]
    assert found == tested


def test_judge_looks_before_the_first_look_tests_nothing(trial):
    strong = replace(trial, effects=dict.fromkeys(trial.effects, 2.0))
    latest = [
        estimate_welch(look.control, look.treatment, EstimateSettings(one.definition))
        for one in strong.series()
        for look in one.looks[-1:]
    ]
    spec = strong.spec_at(9)
    growing = [
        LookSeries(metric(name, window_days=None), "B", ()) for name in strong.effects
    ]
    judged = judge_looks(spec, growing, latest=latest)
    for row in judged.estimates:
        assert row.p_value < 1e-6
        assert (row.sequential_p_value, row.harm_p_value) == (1.0, 1.0)
        assert row.details["sequential"]["status"] == "NO_LOOK"
        assert row.details["sequential"]["why_one_look"] == "NO_WINDOW"
    assert [g.status for g in judged.guardrails] == [GuardrailStatus.NOT_SHOWN]
    assert strip_looks(judged.estimates) == tuple(latest)


def test_judge_looks_has_one_primary_row_per_metric_and_arm(trial):
    judged = trial.judge(9)
    for name in trial.effects:
        assert primary(judged, name).look == 9
        assert [row.look for row in rows_of(judged, name)] == list(range(1, 10))


def test_judge_looks_gives_the_same_rows_whatever_was_run_before(trial):
    whole = {(e.metric_name, e.look): e for e in trial.judge(DAYS).estimates}
    for day in (5, 8, 11):
        for row in trial.judge(day).estimates:
            later = whole[row.metric_name, row.look]
            fields = ("difference", "ci_lower", "sequential_p_value", "harm_p_value")
            for field in fields:
                assert_close(getattr(row, field), getattr(later, field))


def test_judge_looks_agrees_with_the_group_sequential_estimator(trial):
    series = trial.series(DAYS)[0]
    kept = [look for look in series.looks if look.control.n]
    rows = estimate_group_sequential(
        [look.control for look in kept],
        [look.treatment for look in kept],
        EstimateSettings(series.definition),
        plan=SequentialPlan(),
        elapsed=[look.elapsed for look in kept],
    )
    ours = rows_of(trial.judge(DAYS), "orders")[-len(rows) :]
    for row, our in zip(rows, ours, strict=True):
        assert our.sequential_p_value == pytest.approx(row.p_value, rel=1e-9)
        assert_close(our.ci_lower, row.ci_lower)
        for name in ("stop_estimate", "stop_ci_upper"):
            assert_close(our.details.get(name), row.details.get(name))
    assert ours[-1].details["stop_look"] == rows[-1].details["stop_look"] + WINDOW


def test_judge_looks_agrees_with_the_confidence_sequence(trial):
    planned = trial.design(method=LookMethod.CONFIDENCE_SEQUENCE, planned_units=8_000)
    series = planned.series(DAYS)[0]
    kept = series.looks[WINDOW:]
    rows = estimate_confidence_sequence(
        [look.control for look in kept],
        [look.treatment for look in kept],
        EstimateSettings(series.definition),
        plan=SequencePlan((4_000, 4_000)),
    )
    ours = rows_of(planned.judge(DAYS), "orders")[WINDOW:]
    for row, our in zip(rows, ours, strict=True):
        assert our.sequential_p_value == pytest.approx(row.p_value, rel=1e-12)
        assert our.ci_upper == pytest.approx(row.ci_upper, rel=1e-12)


def test_judge_looks_agrees_with_the_msprt(trial):
    planned = trial.design(method=LookMethod.MSPRT)
    metrics = tuple(replace(m, mixture_sd=0.5) for m in planned.spec.plan.metrics)
    planned = replace(planned, case=planned.case.plan(metrics=metrics))
    series = planned.series(DAYS)[0]
    kept = series.looks[WINDOW:]
    rows = estimate_msprt(
        [look.control for look in kept],
        [look.treatment for look in kept],
        EstimateSettings(series.definition),
        tau=0.5,
    )
    ours = rows_of(planned.judge(DAYS), "orders")[WINDOW:]
    for row, our in zip(rows, ours, strict=True):
        assert our.sequential_p_value == pytest.approx(row.p_value, rel=1e-12)
        assert our.ci_upper == pytest.approx(row.ci_upper, rel=1e-12)


def test_judge_looks_keeps_the_p_of_a_single_look(trial):
    row = primary(trial.judge(9), "orders")
    look = trial.series(9)[0].looks[-1]
    fixed = estimate_welch(
        look.control, look.treatment, EstimateSettings(metric("orders"))
    )
    assert (row.p_value, row.difference) == (fixed.p_value, fixed.difference)
    assert row.sequential_p_value > row.p_value
    assert row.ci_upper - row.ci_lower > fixed.ci_upper - fixed.ci_lower
    assert row.method == "welch_t"


def test_judge_looks_once_is_the_single_test(trial):
    fixed = trial.design(method=LookMethod.FIXED)
    series = fixed.series(DAYS)
    judged = judge_looks(fixed.spec_at(DAYS), series)
    row = primary(judged, "orders")
    look = series[0].looks[-1]
    alone = estimate_welch(
        look.control, look.treatment, EstimateSettings(metric("orders"))
    )
    for field in ("p_value", "ci_lower", "ci_upper", "relative_ci_lower", "statistic"):
        assert getattr(row, field) == getattr(alone, field)
    assert row.sequential_p_value == alone.p_value
    assert row.p_value_adjusted == 2 * alone.p_value
    assert row.details["sequential"]["why_one_look"] == "FIXED"
    assert row.look_ts == look.look_ts
    undated = replace(fixed.spec_at(DAYS), is_dated=False)
    assert primary(judge_looks(undated, series), "orders").look_ts is None
    assert fixed.decide(DAYS - 1).outcome is Outcome.KEEP_RUNNING


def _last(series):
    return series.looks[-1].control, series.looks[-1].treatment


@pytest.mark.parametrize(
    ("method", "window"),
    [(None, None), (LookMethod.FIXED, None), (LookMethod.FIXED, float(WINDOW))],
)
def test_one_look_without_an_end_waits_for_the_planned_units(trial, method, window):
    """With a window or without, by the plan's wish or because values still grow."""
    planned = trial.design(method=method, planned_units=2 * 5 * PER_DAY, has_end=False)
    for day, units in ((WINDOW + 4, 4), (WINDOW + 5, 5)):
        series = planned.series(day, window_days=window)
        latest = [
            estimate_welch(*_last(one), EstimateSettings(one.definition))
            for one in series
        ]
        judged = judge_looks(planned.spec_at(day), series, latest=latest)
        row = primary(judged, "orders")
        is_in = units == 5
        assert (row.look is not None) == is_in
        assert row.details["sequential"]["is_final"] == is_in
        assert (row.sequential_p_value == 1.0) != is_in
        outcome = planned.decide(day, window_days=window).outcome
        assert (outcome is Outcome.KEEP_RUNNING) != is_in


def test_judge_looks_stops_at_the_planned_units(trial):
    """OVERRUN: what comes after the planned units is not tested."""
    planned = trial.design(planned_units=2 * 5 * PER_DAY)
    judged = planned.judge(12)
    row = primary(judged, "orders")
    assert row.look == WINDOW + 5
    assert row.details["sequential"]["is_final"]
    assert row.details["sequential"]["spending_time"] == 1.0
    assert row.details["sequential"]["information_share"] == 1.0
    assert [e.look for e in rows_of(judged, "orders")][-1] == WINDOW + 5
    flat = replace(planned, effects=dict.fromkeys(trial.effects, 0.0))
    assert flat.decide(6).outcome is Outcome.KEEP_RUNNING
    decision = flat.decide(12)
    assert (decision.outcome, decision.rule) == (Outcome.REVIEW, "f")
    assert planned.judge(12).estimates == replace(planned).judge(12).estimates


def test_judge_looks_spends_all_at_an_end_that_comes_early(trial):
    """Underrun: by units the clock stands at a quarter, the end forces the rest."""
    planned = trial.design(planned_units=8 * 12 * PER_DAY, clock="units")
    last = primary(planned.judge(DAYS), "orders").details["sequential"]
    before = primary(planned.judge(DAYS - 1), "orders").details["sequential"]
    assert last["spending_time"] == 1.0
    assert last["alpha_spent"] == pytest.approx(0.05)
    assert before["spending_time"] == pytest.approx(11 / 48)
    assert last["information_share"] == pytest.approx(0.25)


def test_judge_looks_never_calls_a_loss_a_gain(trial):
    """A goal that crossed below and recovered has a small p for the wrong side."""
    turning = replace(
        trial,
        effects={**trial.effects, "orders": lambda day: -0.7 if day < 6 else 0.35},
    )
    turning = replace(turning, case=turning.case.plan(alpha_harm=1e-9))
    row = primary(turning.judge(DAYS), "orders")
    assert row.difference > 0
    assert row.p_value_adjusted < 0.01
    assert row.details["sequential"]["p_less"] < row.details["sequential"]["p_greater"]
    decision = turning.decide(DAYS)
    assert decision.outcome is Outcome.REVIEW
    assert "GOAL_WORSE" in decision.reasons
    assert "NO_GOAL_EFFECT" in decision.reasons


def test_judge_looks_turns_with_the_direction(trial):
    less = replace(trial, effects={n: -e for n, e in trial.effects.items()})
    decision = less.decide(9, direction=Direction.DECREASE)
    assert decision.outcome is Outcome.SHIP
    judged = judge_looks(less.spec_at(9), less.series(9, direction=Direction.DECREASE))
    mirror = trial.judge(9)
    for name in trial.effects:
        one, other = primary(judged, name), primary(mirror, name)
        assert one.harm_p_value == pytest.approx(other.harm_p_value, rel=1e-12)
        assert one.ci_lower == pytest.approx(-other.ci_upper, rel=1e-12)


def test_judge_looks_keeps_the_best_proof_of_a_guardrail(trial):
    """Proven at look 8, unsure again at 14: what was proven stays proven."""
    fading = replace(
        trial,
        effects={**trial.effects, "refunds": lambda day: 1.0 if day < 9 else -1.2},
    )
    early, late = fading.judge(8).guardrails[0], fading.judge(DAYS).guardrails[0]
    assert early.status is late.status is GuardrailStatus.NON_INFERIOR
    assert late.bound == pytest.approx(early.bound, rel=1e-9)
    assert late.p_value == pytest.approx(early.p_value, rel=1e-9)
    row = primary(fading.judge(DAYS), "refunds")
    crossing = row.details["sequential"]["noninferiority_crossing"]
    assert WINDOW < crossing <= 8


@pytest.mark.parametrize(
    ("margin", "scale"),
    [
        (0.01, MarginScale.RELATIVE),
        (0.03, MarginScale.RELATIVE),
        (0.1, MarginScale.ABSOLUTE),
        (0.3, MarginScale.ABSOLUTE),
    ],
)
@pytest.mark.parametrize("day", [4, 6, 9, DAYS])
def test_judge_looks_proves_a_guardrail_where_its_bound_is_inside_the_margin(
    trial, day, margin, scale
):
    metrics = tuple(
        replace(m, margin=margin, margin_scale=scale) if m.margin else m
        for m in trial.spec.plan.metrics
    )
    own = replace(trial, case=trial.case.plan(metrics=metrics))
    (guardrail,) = own.judge(day).guardrails
    is_shown = guardrail.status is GuardrailStatus.NON_INFERIOR
    assert guardrail.bound < 0.0
    assert (guardrail.bound > -margin) is is_shown is (guardrail.p_value <= 0.025)


@pytest.mark.parametrize("method", [LookMethod.GROUP_SEQUENTIAL, LookMethod.FIXED])
def test_harm_is_tested_where_the_margin_cannot_be_judged(trial, method):
    case = trial.design(method=method)
    known = replace(case, effects={**case.effects, "refunds": -0.8})
    metrics = tuple(replace(m, margin=None) for m in case.spec.plan.metrics)
    unknown = replace(known, case=known.case.plan(metrics=metrics))
    one, other = primary(unknown.judge(), "refunds"), primary(known.judge(), "refunds")
    assert one.harm_p_value == pytest.approx(other.harm_p_value, rel=1e-12)
    decision = unknown.decide()
    assert decision.reasons == ("GUARDRAIL_UNKNOWN",)
    assert "and it got worse: one-sided p < 0.0001" in decision.rationale


def test_judge_looks_without_an_event_judges_by_scores(trial):
    case = replace(trial, per_day=2_000)
    spec = case.spec_at(DAYS)
    rate = metric("refunds", type=MetricType.PROPORTION, direction=Direction.DECREASE)
    plan = replace(spec.plan.of("refunds"), margin=0.01, margin_scale="absolute")
    spec = replace(spec, plan=replace(spec.plan, metrics=(plan,)))
    nobody = tuple(MetricTotals("e", "refunds", arm, 0, None, None) for arm in "AB")
    cohorts = {
        arm: [(day, MetricTotals("e", "refunds", arm, 2_000, 0.0, 0.0))]
        for arm, day in (("A", 3), ("B", 3))
    }
    looks = due_looks(spec, rate)
    found = collect_looks(looks, cohorts, days=[k.number for k in looks], arms=nobody)
    judged = judge_looks(spec, [LookSeries(rate, "B", found)])
    (guardrail,) = judged.guardrails
    assert guardrail.status is GuardrailStatus.NON_INFERIOR
    assert guardrail.test == "miettinen_nurminen"
    row = primary(judged, "refunds")
    assert row.status is EstimateStatus.INSUFFICIENT_DATA
    assert row.sequential_p_value is None


def test_judge_looks_without_new_units_repeats_the_look(trial):
    still = replace(trial, effects={"orders": 0.3})
    series = still.series(DAYS)[0]
    looks = tuple(
        replace(
            look, control=series.looks[7].control, treatment=series.looks[7].treatment
        )
        if 7 < k < 12
        else look
        for k, look in enumerate(series.looks)
    )
    judged = judge_looks(still.spec_at(12), [replace(series, looks=looks[:12])])
    row = primary(judged, "orders")
    assert row.look == 8
    repeated = rows_of(judged, "orders")[-1]
    assert repeated.look == 12
    assert repeated.difference == row.difference
    assert repeated.details["sequential"]["status"] == "NO_NEW_DATA"


def test_judge_looks_keeps_all_data_beside_the_look(trial):
    series = trial.series(DAYS)[0]
    look = series.looks[-1]
    alone = estimate_welch(
        look.control, look.treatment, EstimateSettings(series.definition)
    )
    judged = judge_looks(trial.spec_at(9), trial.series(9), latest=[alone])
    (latest,) = [e for e in judged.estimates if e.look is None]
    assert (latest.role, latest.p_value) == (EstimateRole.SECONDARY, alone.p_value)
    assert latest.details["sequential"]["status"] == "LATEST"
    assert strip_looks(judged.estimates) == (alone,)


def test_judge_looks_at_one_look_keeps_one_row(trial):
    """Nothing registered: one look of a confidence sequence, at the end of the data."""
    free = trial.design(has_end=False)
    spec = free.spec_at(DAYS)
    look = replace(free.series(DAYS)[0].looks[-1], elapsed=None)
    definition = metric("orders", window_days=None)
    alone = estimate_welch(look.control, look.treatment, EstimateSettings(definition))
    series = LookSeries(definition, "B", (look,))
    (row,) = judge_looks(spec, [series], latest=[alone]).estimates
    assert row.role is EstimateRole.PRIMARY
    assert row.details["sequential"]["method"] == "confidence_sequence"
    assert row.ci_upper - row.ci_lower > alone.ci_upper - alone.ci_lower
    assert strip_looks([row]) == (alone,)


def test_collect_looks_merges_the_days_of_each_look(trial):
    series = trial.series(DAYS)[0]
    assert [look.control.n for look in series.looks[:4]] == [0, 0, PER_DAY, 2 * PER_DAY]
    assert series.looks[-1].treatment.mean == pytest.approx(MEAN + 0.35)


def test_plan_units_splits_by_planned_shares(two_arms):
    spec = replace(
        two_arms.spec,
        plan=replace(
            two_arms.spec.plan, sequential=SequentialDesign(planned_units=10_000)
        ),
    )
    assert plan_units(spec, "C") == (4_000, 3_000)
    assert plan_units(two_arms.spec, "C") is None


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    effects=st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3),
    day=st.integers(1, DAYS),
    per_day=st.sampled_from([20, 90, 400]),
)
def test_judge_looks_is_never_ok_beside_nan(trial, effects, day, per_day):
    named = dict(zip(("orders", "revenue", "refunds"), effects, strict=True))
    trial = replace(trial, effects=named, per_day=per_day)
    for row in trial.judge(day).estimates:
        numbers = (row.p_value, row.sequential_p_value, row.harm_p_value)
        if row.is_ok:
            assert np.isfinite(row.difference)
            assert all(0 <= number <= 1 for number in numbers)
        else:
            assert set(numbers) == {None}
