"""Rows as typed totals, and two builds of them side by side."""

from dataclasses import asdict, replace

import pytest

from exp_platform.metrics.totals import compare_totals, read_totals
from exp_platform.records import MetricTotals

TOTALS = MetricTotals(
    experiment_id="exp_a",
    metric_name="m",
    variant="control",
    n=10,
    mean=0.5,
    variance=4.0,
    exact_sum="5.000000",
    covariate_mean=0.0,
    covariate_variance=9.0,
    covariate_covariance=1e-20,
)
KEY = ("m", "all", "control")


def test_read_totals_is_keyed_by_metric_segment_variant() -> None:
    assert read_totals([asdict(TOTALS) | {"extra": 1}]) == {KEY: TOTALS}


def test_read_totals_of_older_rows_have_no_units_left_out() -> None:
    row = asdict(TOTALS) | {"n_immature": None}
    del row["n_missing"]
    assert read_totals([row]) == {KEY: TOTALS}


def test_read_totals_keeps_the_nulls_of_an_empty_arm() -> None:
    row = asdict(TOTALS) | {"n": 0, "mean": None, "variance": None}
    found = read_totals([row])[KEY]
    assert (found.n, found.mean, found.variance) == (0, None, None)


def test_compare_totals_of_equal_builds_is_empty() -> None:
    assert compare_totals({KEY: TOTALS}, {KEY: TOTALS}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"mean": 0.5 + 1e-12},
        {"variance": 4.0 * (1 + 9e-13)},
        {"covariate_mean": 2e-12},
        {"covariate_covariance": 5e-12},
    ],
)
def test_compare_totals_forgives_the_last_digits(change: dict[str, float]) -> None:
    assert compare_totals({KEY: TOTALS}, {KEY: replace(TOTALS, **change)}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"n": 11},
        {"exact_sum": "5.000001"},
        {"exact_sum": None},
        {"mean": 0.5 + 1e-11},
        {"variance": None},
        {"covariate_covariance": 1e-11},
        {"n_missing": 1},
    ],
)
def test_compare_totals_names_what_differs(change: dict[str, object]) -> None:
    other = replace(TOTALS, **change)
    (text,) = compare_totals({KEY: TOTALS}, {KEY: other})
    assert text.startswith(f"m / all / control: {next(iter(change))} is")


def test_compare_totals_names_rows_of_one_build_alone() -> None:
    assert compare_totals({KEY: TOTALS}, {}) == [
        "m / all / control: only in one of the two"
    ]
