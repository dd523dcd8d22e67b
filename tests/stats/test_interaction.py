from dataclasses import replace

import numpy as np
import pytest

from exp_platform.stats.interaction import assess_interaction


def _cells(data, total):
    y, a, b = (np.array(data[name]) for name in ("y", "a", "b"))
    return {
        (one, two): total(y[(a == one) & (b == two)])
        for one in np.unique(a)
        for two in np.unique(b)
    }


def test_contrasts_and_joint_test_agree_with_statsmodels(golden, total):
    answer = golden("segments")["interaction"]
    found = assess_interaction(_cells(answer["data"], total), ("c", "c"))
    assert [(c.treatment, c.other) for c in found.contrasts] == [("t", "u"), ("t", "v")]
    for name in ("difference", "standard_error"):
        values = [getattr(c, name) for c in found.contrasts]
        assert values == pytest.approx(answer[name], rel=1e-9)
    assert [found.statistic, found.p_value] == pytest.approx(answer["wald"], rel=1e-9)
    assert found.df == 2
    assert found.assignment.p_value > 0.001


def test_one_contrast_has_the_wald_statistic_of_its_t(total):
    random = np.random.default_rng(1)
    cells = {
        (a, b): total(random.normal(0, 1, 150)) for a in ("c", "t") for b in ("c", "u")
    }
    found = assess_interaction(cells, ("c", "c"))
    (one,) = found.contrasts
    assert found.statistic == pytest.approx(
        (one.difference / one.standard_error) ** 2, rel=1e-12
    )
    assert one.ci_lower < one.difference < one.ci_upper


def test_experiments_turned_round_have_the_same_interaction(golden, total):
    cells = _cells(golden("segments")["interaction"]["data"], total)
    turned = {(b, a): totals for (a, b), totals in cells.items()}
    there = assess_interaction(cells, ("c", "c"))
    back = assess_interaction(turned, ("c", "c"))
    assert back.statistic == pytest.approx(there.statistic, rel=1e-9)


def test_dependent_assignment_is_seen(total):
    sizes = {("c", "c"): 400, ("c", "u"): 200, ("t", "c"): 200, ("t", "u"): 400}
    random = np.random.default_rng(2)
    cells = {key: total(random.normal(0, 1, n)) for key, n in sizes.items()}
    found = assess_interaction(cells, ("c", "c"))
    assert found.assignment.p_value < 1e-10
    assert found.assignment.cramers_v == pytest.approx(1 / 3)


def test_what_has_no_answer_says_why(total):
    random = np.random.default_rng(3)
    cells = {
        (a, b): total(random.normal(0, 1, 150)) for a in ("c", "t") for b in ("c", "u")
    }

    def reason(**changes):
        return assess_interaction({**cells, **changes.pop("cells", {})}, **changes)

    missing = {key: arm for key, arm in cells.items() if key != ("t", "u")}
    assert assess_interaction(missing, ("c", "c")).reason == "MISSING_CELL"
    assert reason(controls=("c", "c"), min_units=151).reason == "TOO_FEW_UNITS"
    broken = {("t", "u"): replace(cells["t", "u"], mean=None)}
    assert reason(cells=broken, controls=("c", "c")).reason == "INVALID_MOMENTS"
    flat = {key: replace(arm, variance=0.0) for key, arm in cells.items()}
    assert assess_interaction(flat, ("c", "c")).reason == "ZERO_VARIANCE"
    assert assess_interaction(flat, ("c", "c")).p_value is None


def test_contrast_is_the_difference_of_its_two_effects(golden, total):
    cells = _cells(golden("segments")["interaction"]["data"], total)
    for one in assess_interaction(cells, ("c", "c")).contrasts:
        alone = cells[one.treatment, "c"].mean - cells["c", "c"].mean
        under = cells[one.treatment, one.other].mean - cells["c", one.other].mean
        assert (one.effect_alone, one.effect_under) == pytest.approx((alone, under))
        # Sums of the same four means in another order.
        assert one.difference == pytest.approx(under - alone, abs=1e-12)


def test_ratio_with_denominator_one_is_the_mean(total):
    random = np.random.default_rng(4)
    keys = [(a, b) for a in ("c", "t") for b in ("c", "u")]
    draws = {key: random.normal(3, 1, 150) for key in keys}
    plain = {key: total(y) for key, y in draws.items()}
    ratios = {key: total(y, denominator=np.ones(150)) for key, y in draws.items()}
    there = assess_interaction(plain, ("c", "c"))
    here = assess_interaction(ratios, ("c", "c"))
    assert here.contrasts == there.contrasts
    lost = {key: replace(arm, denominator_mean=0.0) for key, arm in ratios.items()}
    found = assess_interaction(lost, ("c", "c"))
    assert (found.reason, found.p_value) == ("DENOMINATOR_NEAR_ZERO", None)


def test_contrasts_that_hang_together_have_no_joint_test(total):
    random = np.random.default_rng(4)
    keys = [(a, b) for a in ("c", "t") for b in ("c", "u", "v")]
    cells = {key: total(random.normal(3, 1, 150)) for key in keys}
    for key in keys:
        if key[1] != "c":
            cells[key] = replace(cells[key], variance=0.0)
    assert assess_interaction(cells, ("c", "c")).reason == "ZERO_VARIANCE"
