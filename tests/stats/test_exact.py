import numpy as np
import pytest

from exp_platform.stats.contingency import assess_table
from exp_platform.stats.exact import clopper_pearson, fisher_p_value, mid_p_value
from exp_platform.stats.proportion import (
    compare_proportions,
    estimate_proportions,
    wilson,
)
from exp_platform.stats.score import Counts

# Log-gamma of hundreds against scipy's recursion.
ROUNDING = 1e-10


def _counts(c0, n0, c1, n1):
    return Counts(*(np.array([float(v)]) for v in (c0, n0, c1, n1)))


def _cases(golden):
    return golden("exact")["proportions"]


def test_exact_p_values_agree_with_scipy(golden):
    for case in _cases(golden):
        counts = _counts(*case["counts"])
        assert fisher_p_value(counts)[0] == pytest.approx(case["fisher"], rel=ROUNDING)
        assert mid_p_value(counts)[0] == pytest.approx(case["mid_p"], rel=ROUNDING)


def test_many_tables_at_once_are_each_alone(golden):
    cases = [case["counts"] for case in _cases(golden)]
    together = Counts(*(np.array(c, dtype=float) for c in zip(*cases, strict=True)))
    for test in (fisher_p_value, mid_p_value):
        alone = [test(_counts(*case))[0] for case in cases]
        assert list(test(together)) == alone


def test_one_sample_intervals_agree_with_statsmodels(golden):
    for case in _cases(golden):
        events, n = (np.array([float(v)]) for v in case["counts"][2:])
        exact = [float(end[0]) for end in clopper_pearson(events, n, 0.05)]
        assert exact == pytest.approx(case["clopper_pearson"], rel=ROUNDING)
        score = [float(end[0]) for end in wilson(events / n, n, 0.05)]
        assert score == pytest.approx(case["wilson"], rel=ROUNDING)


def test_interval_of_no_and_of_all_events_ends_at_the_edge():
    lower, upper = clopper_pearson(np.array([0.0, 9.0]), np.array([9.0, 9.0]), 0.05)
    assert (lower[0], upper[1]) == (0, 1)
    assert upper[0] == pytest.approx(1 - 0.025 ** (1 / 9))


@pytest.mark.parametrize("name", ["wald", "newcombe"])
def test_intervals_of_a_difference_agree_with_statsmodels(name, golden):
    for case in _cases(golden):
        found = compare_proportions(
            _counts(*case["counts"]), 0.05, interval=name
        ).inference
        ends = [found.ci_lower[0], found.ci_upper[0]]
        assert ends == pytest.approx(case[name], rel=ROUNDING, abs=1e-14)


def test_score_interval_contains_the_difference_and_holds_the_test():
    counts = _counts(2, 40, 9, 35)
    found = compare_proportions(counts, 0.05, interval="miettinen_nurminen").inference
    assert found.ci_lower[0] < found.difference[0] < found.ci_upper[0]


@pytest.mark.parametrize("test", ["yates", "fisher", "mid_p"])
def test_p_values_by_name_agree_with_scipy(test, golden):
    for case in _cases(golden):
        found = compare_proportions(_counts(*case["counts"]), 0.05, test=test).inference
        if not np.isnan(found.statistic[0]):
            assert found.p_value[0] == pytest.approx(case[test], rel=ROUNDING)


def test_wald_divides_by_the_separate_error():
    found = compare_proportions(_counts(12, 300, 25, 280), 0.05, test="wald").inference
    assert found.statistic[0] == found.difference[0] / found.standard_error[0]


def test_auto_takes_mid_p_only_for_small_counts():
    cases = ((2, 40, 9, 35), (120, 3000, 150, 2800))
    both = Counts(*(np.array(c, dtype=float) for c in zip(*cases, strict=True)))
    found = compare_proportions(both, 0.05, test="auto").inference.p_value
    plain = compare_proportions(both, 0.05).inference.p_value
    # 11 of 75 had the event: 5.1 are expected in the smaller arm, so both are plain.
    assert list(found) == list(plain)
    rare = _counts(1, 40, 6, 35)
    assert compare_proportions(rare, 0.05, test="auto").inference.p_value[
        0
    ] == mid_p_value(rare)


def test_row_names_its_test_and_interval(total, settings):
    arms = [total(np.arange(60) < k) for k in (1, 6)]
    found = estimate_proportions(*arms, settings)
    assert (found.details["test"], found.details["interval"]) == ("mid_p", "newcombe")
    wanted = estimate_proportions(
        *arms, settings, test="fisher", interval="miettinen_nurminen"
    )
    assert wanted.details["test"] == "fisher"
    assert wanted.p_value > found.p_value


def test_tables_agree_with_scipy(golden):
    for case in golden("exact")["tables"]:
        for name, options in (
            ("pearson", {}),
            ("yates", {"yates": True}),
            ("g", {"likelihood": True}),
        ):
            found = assess_table(case["table"], **options)
            assert [found.statistic, found.p_value] == pytest.approx(
                case[name], rel=ROUNDING
            )
            assert found.df == case["df"]


def test_empty_rows_are_left_out_and_one_row_has_no_test():
    full = assess_table([[10, 20], [20, 10]])
    assert assess_table([[10, 20], [0, 0], [20, 10]]) == full
    assert assess_table([[10, 20]]).p_value is None
    assert full.cramers_v == pytest.approx(1 / 3)


@pytest.mark.calibration
def test_mid_p_is_closer_to_its_level_than_fisher_and_than_chi_square(named_random):
    runs, n, rate = 20_000, 40, 0.05
    events = named_random.binomial(n, rate, (2, runs)).astype(float)
    sizes = np.full(runs, float(n))
    counts = Counts(events[0], sizes, events[1], sizes)
    found = {
        test: np.mean(
            np.nan_to_num(
                compare_proportions(counts, 0.05, test=test).inference.p_value, nan=1.0
            )
            < 0.05
        )
        for test in ("mid_p", "fisher")
    }
    assert found["fisher"] <= found["mid_p"] < 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)
