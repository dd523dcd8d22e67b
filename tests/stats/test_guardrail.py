import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.records import (
    Direction,
    EstimateStatus,
    MarginScale,
    MetricPlan,
    MetricRole,
    MetricType,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.guardrail import GuardrailStatus, assess_guardrail
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.welch import estimate_welch

# Our t has the degrees of freedom of the difference, scipy's those of the contrast with
# the scaled control: a fourth-digit matter at 250 and 400 units.
DF_OF_CONTRAST = 2e-3


def _plan(margin, scale=MarginScale.RELATIVE):
    return MetricPlan("spend", MetricRole.GUARDRAIL, margin=margin, margin_scale=scale)


def _assess(control, treatment, settings, plan, definition):
    estimate = estimate_welch(control, treatment, settings)
    return assess_guardrail(control, treatment, estimate, plan, definition)


@pytest.mark.parametrize("good", Direction)
def test_relative_margin_agrees_with_scipy(good, golden, total, settings, define):
    answer = golden("guardrail")
    found = _assess(
        total(answer["control"]),
        total(answer["treatment"]),
        settings,
        _plan(answer["margin"]),
        define(direction=good),
    )
    expected = answer[f"{good.value}_is_good"]
    assert found.p_value == pytest.approx(expected, rel=DF_OF_CONTRAST)


def test_absolute_margin_agrees_with_scipy(golden, total, settings, define):
    answer = golden("guardrail")
    found = _assess(
        total(answer["control"]),
        total(answer["treatment"]),
        settings,
        _plan(answer["absolute_margin"], MarginScale.ABSOLUTE),
        define(),
    )
    assert found.p_value == pytest.approx(answer["absolute"], rel=1e-10)
    assert found.status is GuardrailStatus.NON_INFERIOR


def test_absolute_bound_is_the_end_of_the_interval(golden, total, settings, define):
    answer = golden("guardrail")
    arms = total(answer["control"]), total(answer["treatment"])
    estimate = estimate_welch(*arms, settings)
    for direction, end in (("increase", "ci_lower"), ("decrease", "ci_upper")):
        found = assess_guardrail(
            *arms,
            estimate,
            _plan(0.5, MarginScale.ABSOLUTE),
            define(direction=Direction(direction)),
        )
        assert found.bound == pytest.approx(getattr(estimate, end), rel=1e-12)


@given(
    gap=st.floats(-0.5, 0.5),
    plan=st.builds(_plan, st.floats(0.01, 0.5), st.sampled_from(MarginScale)),
    good=st.sampled_from(Direction),
)
def test_bound_and_p_value_tell_the_same(*, gap, plan, good, total, settings, define):
    random = np.random.default_rng(2)
    control = total(random.normal(2, 1, 200))
    treatment = total(random.normal(2, 1, 120) + gap)
    found = _assess(control, treatment, settings, plan, define(direction=good))
    harm = -found.bound if good is Direction.INCREASE else found.bound
    is_shown = found.status is GuardrailStatus.NON_INFERIOR
    assert is_shown == (found.p_value <= 0.025)
    if abs(harm - plan.margin) > 1e-9:
        assert is_shown == (harm < plan.margin)


def test_direction_mirrors_the_test(total, settings, define):
    random = np.random.default_rng(3)
    values = random.normal(10, 2, (2, 150))
    up = _assess(
        total(values[0]),
        total(values[1]),
        settings,
        _plan(0.4, MarginScale.ABSOLUTE),
        define(),
    )
    down = _assess(
        total(-values[0]),
        total(-values[1]),
        settings,
        _plan(0.4, MarginScale.ABSOLUTE),
        define(direction=Direction.DECREASE),
    )
    assert up.p_value == pytest.approx(down.p_value, rel=1e-12)
    assert up.bound == pytest.approx(-down.bound, rel=1e-12)
    assert up.harm_p_value == pytest.approx(down.harm_p_value, rel=1e-12)


def test_degraded_inside_the_margin_is_both_non_inferior_and_degraded(
    total, settings, define
):
    control = total(np.tile([9.0, 11.0], 5000))
    treatment = total(np.tile([9.0, 11.0], 5000) - 0.1)
    found = _assess(control, treatment, settings, _plan(0.05), define())
    assert found.status is GuardrailStatus.NON_INFERIOR
    assert found.is_degraded


def test_harm_beyond_the_margin_is_not_shown_and_degraded(total, settings, define):
    control = total(np.tile([9.0, 11.0], 5000))
    treatment = total(np.tile([9.0, 11.0], 5000) - 1.0)
    found = _assess(control, treatment, settings, _plan(0.05), define())
    assert found.status is GuardrailStatus.NOT_SHOWN
    assert found.is_degraded
    assert found.bound < -0.1


@pytest.mark.parametrize(
    ("margin", "reason"),
    [
        (None, "NO_MARGIN"),
        (0.0, "MARGIN_NOT_POSITIVE"),
        (-0.1, "MARGIN_NOT_POSITIVE"),
        (float("nan"), "MARGIN_NOT_POSITIVE"),
    ],
)
def test_missing_margin_is_unknown(margin, reason, total, settings, define):
    arm = total(np.arange(1.0, 50.0))
    found = _assess(arm, arm, settings, _plan(margin), define())
    assert (found.status, found.reason) == (GuardrailStatus.UNKNOWN, reason)
    assert found.p_value is None
    assert not found.is_degraded


def test_relative_margin_needs_a_positive_control_mean(total, settings, define):
    arm = total(np.arange(50.0) - 100)
    found = _assess(arm, arm, settings, _plan(0.1), define())
    assert (found.status, found.reason) == (
        GuardrailStatus.UNKNOWN,
        "CONTROL_MEAN_NOT_POSITIVE",
    )


def test_estimate_without_numbers_is_unknown(total, settings, define):
    constant = total(np.ones(50))
    found = _assess(constant, constant, settings, _plan(0.1), define())
    assert (found.status, found.reason) == (GuardrailStatus.UNKNOWN, "ZERO_VARIANCE")
    arm = total(np.arange(50.0))
    errored = replace(
        estimate_welch(arm, arm, settings),
        status=EstimateStatus.METRIC_ERRORED,
        reason="",
    )
    found = assess_guardrail(arm, arm, errored, _plan(0.1), define())
    assert found.reason == "METRIC_ERRORED"


def test_estimate_without_baseline_variance_is_unknown(total, settings, define):
    arm = total(np.arange(1.0, 50.0))
    bare = replace(estimate_welch(arm, arm, settings), details={"baseline_mean": 2.0})
    found = assess_guardrail(arm, arm, bare, _plan(0.1), define())
    assert found.reason == "BASELINE_VARIANCE_MISSING"


def test_ratio_and_cuped_estimates_are_assessed(total, settings, define):
    random = np.random.default_rng(4)
    x = random.gamma(4, 1, 800)
    arm = total(x + random.normal(5, 1, 800), covariate=x, denominator=x)
    ratio = estimate_ratio(arm, arm, settings)
    cuped = estimate_cuped(arm, arm, settings)
    for estimate in (ratio, cuped):
        found = assess_guardrail(arm, arm, estimate, _plan(0.2), define())
        assert found.status is GuardrailStatus.NON_INFERIOR
        assert -0.2 < found.bound < 0


def test_zero_events_in_both_arms_use_the_score_bound(total, settings, define):
    definition = define(MetricType.PROPORTION, Direction.DECREASE)
    none = total(np.zeros(1000))
    estimate = estimate_welch(none, none, settings)
    plan = _plan(0.005, MarginScale.ABSOLUTE)
    found = assess_guardrail(none, none, estimate, plan, definition)
    assert found.status is GuardrailStatus.NON_INFERIOR
    assert found.test == "miettinen_nurminen"
    # Without events the bound is z^2 / (n + z^2), but for the factor N / (N - 1).
    assert found.bound == pytest.approx(1.96**2 / (1000 + 1.96**2), rel=2e-3)
    assert not found.is_degraded
    tight = _plan(0.003, MarginScale.ABSOLUTE)
    found = assess_guardrail(none, none, estimate, tight, definition)
    assert found.status is GuardrailStatus.NOT_SHOWN


def test_zero_events_in_control_have_no_relative_margin(total, settings, define):
    definition = define(MetricType.PROPORTION, Direction.DECREASE)
    none, some = total(np.zeros(1000)), total(np.arange(1000) < 20)
    estimate = estimate_proportions(none, some, settings)
    found = assess_guardrail(none, some, estimate, _plan(0.1), definition)
    assert found.reason == "CONTROL_MEAN_NOT_POSITIVE"
    absolute = _plan(0.01, MarginScale.ABSOLUTE)
    found = assess_guardrail(none, some, estimate, absolute, definition)
    assert found.status is GuardrailStatus.NOT_SHOWN
    assert found.is_degraded


def test_zero_events_in_treatment_can_be_relative(total, settings, define):
    definition = define(MetricType.PROPORTION, Direction.DECREASE)
    some, none = total(np.arange(1000) < 20), total(np.zeros(1000))
    estimate = estimate_welch(some, none, settings)
    found = assess_guardrail(some, none, estimate, _plan(0.1), definition)
    assert found.status is GuardrailStatus.NON_INFERIOR
    assert found.bound < 0


def test_everybody_in_both_arms_is_the_mirror_of_nobody(total, settings, define):
    everybody, nobody = total(np.ones(1000)), total(np.zeros(1000))
    plan = _plan(0.005, MarginScale.ABSOLUTE)
    all_in = assess_guardrail(
        everybody,
        everybody,
        estimate_welch(everybody, everybody, settings),
        plan,
        define(MetricType.PROPORTION),
    )
    none_in = assess_guardrail(
        nobody,
        nobody,
        estimate_welch(nobody, nobody, settings),
        plan,
        define(MetricType.PROPORTION, Direction.DECREASE),
    )
    assert all_in.p_value == pytest.approx(none_in.p_value, rel=1e-9)


def test_margin_beyond_every_possible_change_is_met(total, settings, define):
    definition = define(MetricType.PROPORTION)
    arm = total(np.ones(1000))
    estimate = estimate_welch(arm, arm, settings)
    for scale in MarginScale:
        plan = _plan(2.0, scale)
        found = assess_guardrail(arm, arm, estimate, plan, definition)
        assert found.status is GuardrailStatus.NON_INFERIOR


@pytest.mark.parametrize("scale", list(MarginScale))
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("kind", [MetricType.PROPORTION, MetricType.COUNT])
@pytest.mark.parametrize("margin", [0.02, 0.5, 1.0, 1.5])
def test_arms_without_events_have_a_clear_status(
    scale, direction, kind, margin, request
):
    total, settings, define = map(
        request.getfixturevalue, ("total", "settings", "define")
    )
    definition = define(kind, direction)
    estimator = estimate_welch
    if kind is MetricType.PROPORTION:
        estimator = estimate_proportions
    for control, treatment in itertools.product((0, 7, 193, 200), repeat=2):
        arms = [
            total(np.repeat([1.0, 0.0], [events, 200 - events]))
            for events in (control, treatment)
        ]
        row = estimator(*arms, settings)
        found = assess_guardrail(*arms, row, _plan(margin, scale), definition)
        known = (found.p_value, found.harm_p_value)
        if found.status is GuardrailStatus.UNKNOWN:
            assert (*known, found.bound) == (None,) * 3
            is_extreme = {control, treatment} & {0, 200}
            assert is_extreme, (control, treatment)
            assert found.reason in {
                "CONTROL_MEAN_NOT_POSITIVE",
                "ARM_WITHOUT_VARIANCE",
                "ZERO_VARIANCE",
            }
            is_share = kind is MetricType.PROPORTION
            assert not is_share or (control == 0 and scale is MarginScale.RELATIVE)
            continue
        assert all(p is not None and 0 <= p <= 1 for p in known)
        assert (found.bound is None) == (found.reason == "INTERVAL_UNBOUNDED")
        assert found.bound is None or math.isfinite(found.bound)


def test_bound_on_a_control_that_may_be_zero_is_null_with_its_reason(
    total, settings, define
):
    random = np.random.default_rng(8)
    control, treatment = (
        total(random.normal(0.1, 1, 60)),
        total(random.normal(9, 1, 60)),
    )
    row = estimate_welch(control, treatment, settings)
    found = assess_guardrail(control, treatment, row, _plan(0.1), define())
    # Better by far, so that the margin's test is passed whatever control's mean is.
    assert found.status is GuardrailStatus.NON_INFERIOR
    assert found.p_value < 1e-9
    assert (found.bound, found.reason) == (None, "INTERVAL_UNBOUNDED")


def test_count_without_events_in_treatment_has_no_relative_bound(
    total, settings, define
):
    """Fieller's limit would be -100 %, the observed change itself."""
    some, none = total(np.arange(1000) < 4), total(np.zeros(1000))
    row = estimate_welch(some, none, settings)
    definition = define(MetricType.COUNT, Direction.DECREASE)
    found = assess_guardrail(some, none, row, _plan(0.1), definition)
    assert (found.status, found.reason) == (
        GuardrailStatus.UNKNOWN,
        "ARM_WITHOUT_VARIANCE",
    )
    absolute = _plan(0.002, MarginScale.ABSOLUTE)
    found = assess_guardrail(some, none, row, absolute, definition)
    assert found.status is GuardrailStatus.NON_INFERIOR
