from dataclasses import replace

import numpy as np
import pytest

from exp_platform.errors import ContractError
from exp_platform.records import EstimateStatus, MetricTotals
from exp_platform.stats.group_sequential import (
    HARM_SPENDING,
    estimate_group_sequential,
    sequential_power,
    track_p_values,
)
from exp_platform.stats.looks import SequentialPlan
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.spending import Spending
from exp_platform.stats.welch import estimate_welch


@pytest.fixture(scope="module")
def looks(total):
    """Cumulative totals of 400, 800 ... units per arm, and a growing effect."""

    def build(effect, units=(400, 800, 1200, 1600, 2000), scale=1.0):
        random = np.random.default_rng(21)
        control = scale * random.normal(10, 3, units[-1])
        treatment = scale * (random.normal(10, 3, units[-1]) + effect)
        return (
            [total(control[:n]) for n in units],
            [total(treatment[:n], "treatment") for n in units],
        )

    return build


ELAPSED = [0.2, 0.4, 0.6, 0.8, 1.0]
PLAN = SequentialPlan()


def test_rows_carry_repeated_intervals_and_sequential_p(looks, settings):
    rows = estimate_group_sequential(*looks(0.6), settings, plan=PLAN, elapsed=ELAPSED)
    assert [row.look for row in rows] == [1, 2, 3, 4, 5]
    assert {row.method for row in rows} == {"group_sequential"}
    p_values = [row.p_value for row in rows]
    assert p_values == sorted(p_values, reverse=True)
    for row in rows:
        is_outside = row.ci_lower > 0 or row.ci_upper < 0
        crossed = row.details["first_crossing"]
        # The repeated interval at a look leaves out 0 exactly when z crosses there.
        assert not is_outside or crossed is not None
        half_width = row.ci_upper - row.difference
        critical = row.details["critical_value"]
        # t quantiles of about 1,000 degrees of freedom are at most 5 % wider at z = 5.
        assert 1 <= half_width / (critical * row.standard_error) < 1.05


def test_running_twice_or_later_changes_nothing(looks, settings):
    controls, treatments = looks(0.5)
    whole = estimate_group_sequential(
        controls, treatments, settings, plan=PLAN, elapsed=ELAPSED
    )
    part = estimate_group_sequential(
        controls[:3], treatments[:3], settings, plan=PLAN, elapsed=ELAPSED[:3]
    )
    for early, late in zip(part, whole, strict=False):
        assert early.p_value == pytest.approx(late.p_value, rel=1e-9)
        assert early.ci_lower == pytest.approx(late.ci_lower, rel=1e-9)
        assert early.details["first_crossing"] == late.details["first_crossing"]


def test_stop_fields_begin_at_the_first_crossing(looks, settings):
    rows = estimate_group_sequential(*looks(0.9), settings, plan=PLAN, elapsed=ELAPSED)
    first = next(row for row in rows if row.details["first_crossing"])
    assert first.p_value <= 0.05
    for row in rows:
        has_stop = "stop_estimate" in row.details
        assert has_stop == (row.look >= first.look)
    details = rows[-1].details
    assert details["stop_look"] == first.look
    assert details["stop_ci_lower"] < details["stop_estimate"]
    assert details["stop_estimate"] < details["stop_ci_upper"]
    # Crossed at alpha = .05, so the stagewise interval leaves out 0.
    assert details["stop_ci_lower"] > 0


def test_stop_fields_at_the_end_without_a_crossing(looks, settings):
    rows = estimate_group_sequential(*looks(0.0), settings, plan=PLAN, elapsed=ELAPSED)
    assert "stop_look" not in rows[-2].details
    assert rows[-1].details["stop_look"] == 5
    assert rows[-1].details["first_crossing"] is None
    assert rows[-1].p_value > 0.05


def test_one_look_at_the_end_is_the_fixed_test(looks, settings):
    controls, treatments = looks(0.2)
    row = estimate_group_sequential(
        controls[-1:], treatments[-1:], settings, plan=PLAN, elapsed=[1.0]
    )[0]
    fixed = estimate_welch(controls[-1], treatments[-1], settings)
    assert row.p_value == pytest.approx(fixed.p_value, rel=1e-9)
    assert row.ci_lower == pytest.approx(fixed.ci_lower, rel=1e-9)
    assert row.relative_ci_upper == pytest.approx(fixed.relative_ci_upper, rel=1e-9)
    assert row.relative_p_value == pytest.approx(fixed.relative_p_value, rel=1e-9)


def test_looks_without_new_units_repeat_the_row(looks, settings):
    controls, treatments = looks(0.3, units=(500, 500, 900))
    rows = estimate_group_sequential(
        controls, treatments, settings, plan=PLAN, elapsed=[0.3, 0.5, 0.8]
    )
    assert rows[1].details["look_status"] == "NO_NEW_DATA"
    assert rows[1].p_value == rows[0].p_value
    assert rows[1].ci_lower == rows[0].ci_lower
    assert rows[1].look == 2


def test_overrun_looks_keep_the_row_of_the_last_test(looks, settings):
    plan = SequentialPlan(planned_units=(1000, 1000))
    rows = estimate_group_sequential(
        *looks(0.3), settings, plan=plan, elapsed=[0.1, 0.2, 0.3, 0.4, 0.5]
    )
    assert [row.details["look_status"] for row in rows] == [
        *["TESTED"] * 3,
        *["OVERRUN"] * 2,
    ]
    assert rows[4].n_control == 1200
    assert rows[4].p_value == rows[2].p_value


def test_early_looks_are_refused_until_there_are_enough_units(looks, settings):
    rows = estimate_group_sequential(
        *looks(0.3, units=(50, 99, 600)), settings, plan=PLAN, elapsed=[0.1, 0.2, 0.9]
    )
    for row in rows[:2]:
        assert row.status is EstimateStatus.INSUFFICIENT_DATA
        assert row.reason == "TOO_FEW_UNITS"
        assert row.p_value is None
        assert row.difference is None
    assert rows[2].is_ok


def test_metric_without_variance_is_refused_at_every_look(total, settings):
    same = [total(np.ones(n)) for n in (200, 400)]
    other = [replace(totals, variant="treatment") for totals in same]
    rows = estimate_group_sequential(
        same, other, settings, plan=PLAN, elapsed=[0.5, 1.0]
    )
    assert [row.reason for row in rows] == ["ZERO_VARIANCE"] * 2
    assert {row.method for row in rows} == {"group_sequential"}


def test_swapping_the_arms_turns_the_sign(looks, settings):
    controls, treatments = looks(0.4)
    ours, theirs = (
        estimate_group_sequential(*pair, settings, plan=PLAN, elapsed=ELAPSED)
        for pair in ((controls, treatments), (treatments, controls))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9)
        assert one.ci_lower == pytest.approx(-other.ci_upper, rel=1e-9)
    assert ours[-1].details["stop_estimate"] == pytest.approx(
        -theirs[-1].details["stop_estimate"], rel=1e-6
    )


def test_scale_of_the_metric_does_not_matter(looks, settings):
    ours, theirs = (
        estimate_group_sequential(
            *looks(0.4, scale=scale), settings, plan=PLAN, elapsed=ELAPSED
        )
        for scale in (1.0, 1e4)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.p_value == pytest.approx(other.p_value, rel=1e-8)
        assert one.relative_ci_lower == pytest.approx(other.relative_ci_lower, rel=1e-8)


def test_any_estimator_of_one_look_will_do(total, settings):
    random = np.random.default_rng(3)
    events = random.binomial(1, [[0.2], [0.3]], (2, 900)).astype(float)
    base = 1 + random.poisson(3, (2, 900))
    for estimator in (estimate_proportions, estimate_ratio):
        arms = [
            [total(values[:n], name, denominator=parts[:n]) for n in (300, 600, 900)]
            for values, parts, name in zip(
                events, base, ("control", "treatment"), strict=True
            )
        ]
        rows = estimate_group_sequential(
            *arms, settings, plan=PLAN, elapsed=[0.3, 0.6, 1.0], estimator=estimator
        )
        assert rows[-1].p_value < 0.05
        assert rows[-1].details["stop_ci_lower"] > 0


def test_no_looks_give_no_rows(settings):
    assert estimate_group_sequential([], [], settings, plan=PLAN) == ()
    assert track_p_values([], [], PLAN) == ()


def test_neither_end_nor_planned_units_is_a_broken_contract(looks, settings):
    with pytest.raises(ContractError, match="confidence sequence"):
        estimate_group_sequential(*looks(0.1), settings, plan=PLAN)
    with pytest.raises(ContractError, match="one share per look"):
        estimate_group_sequential(*looks(0.1), settings, plan=PLAN, elapsed=[0.5])


def test_track_p_values_spends_one_sided():
    units = [(500, 500), (1000, 1000), (1500, 1500), (2000, 2000)]
    plan = SequentialPlan(HARM_SPENDING)
    p_values = [0.4, None, 0.004, 0.2]
    found = track_p_values(p_values, units, plan, elapsed=[0.25, 0.5, 0.75, 1.0])
    assert found[0] == found[1]
    assert 0.004 < found[2] < 0.05
    assert found[3] == found[2]
    alone = track_p_values([0.03], [(500, 500)], plan, elapsed=[1.0])
    assert alone[0] == pytest.approx(0.03, rel=1e-9)


def test_sequential_power_at_one_look_is_the_fixed_power():
    found = sequential_power([1.0], [2.8015852], 0.05)
    assert found[0, 0] == pytest.approx(0.8, abs=1e-6)


def test_obrien_fleming_keeps_the_power_of_the_fixed_test():
    days = np.arange(1, 29) / 28
    found = sequential_power(days, [2.8015852, 3.2415], 0.05)
    assert found[0, -1] / 0.8 > 0.95
    assert found[1, -1] / 0.9 > 0.95
    assert (np.diff(found, axis=1) >= 0).all()
    pocock = sequential_power(days, [2.8015852], 0.05, spending=Spending("pocock"))
    assert pocock[0, -1] < found[0, -1]
    assert pocock[0, 6] > found[0, 6]


def test_totals_of_another_metric_are_refused(settings):
    ours = MetricTotals("e", "spend", "control", 500, 1.0, 1.0)
    theirs = MetricTotals("e", "visits", "treatment", 500, 1.0, 1.0)
    with pytest.raises(ContractError, match="do not belong together"):
        estimate_group_sequential([ours], [theirs], settings, plan=PLAN, elapsed=[1.0])
