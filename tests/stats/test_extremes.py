"""Whatever the totals are: a row with status OK has finite numbers, any other has none."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from exp_platform.causal.did import estimate_did, estimate_few_clusters
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.instrument import ComplianceTotals, estimate_cace
from exp_platform.causal.novelty import estimate_novelty
from exp_platform.records import (
    AdjustmentTotals,
    ClusterTotals,
    Direction,
    Estimate,
    EstimateStatus,
    GramTotals,
    MarginScale,
    MetricDefinition,
    MetricTotals,
    MetricType,
    PanelTotals,
    QuantileTotals,
    TailTotals,
)
from exp_platform.stats.bayes import NormalPrior, estimate_bayes_normal
from exp_platform.stats.bayes_binomial import estimate_bayes_proportions
from exp_platform.stats.bootstrap import UnitSample, estimate_bootstrap
from exp_platform.stats.cluster import estimate_cluster_means
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    estimate_confidence_sequence,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.dunnett import adjust_dunnett
from exp_platform.stats.equivalence import Margins, assess_equivalence
from exp_platform.stats.group_sequential import estimate_group_sequential
from exp_platform.stats.heterogeneity import estimate_spread
from exp_platform.stats.interaction import assess_interaction
from exp_platform.stats.looks import SequentialPlan
from exp_platform.stats.msprt import estimate_msprt
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.quantile import estimate_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.regression import estimate_adjusted, estimate_lin
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.stratification import estimate_post_stratified
from exp_platform.stats.tail import estimate_capped
from exp_platform.stats.welch import estimate_welch

N = st.sampled_from([0, 1, 2, 3, 20, 5000, 10**9])
LEVEL = st.sampled_from(
    [0.0, 1.0, -1.0, 0.5, 1e-300, 1e-12, 1e15, -1e15, 1e154, 1e308, math.nan, math.inf]
) | st.floats(-100, 100)
SPREAD = st.sampled_from(
    [0.0, 1.0, 1e-300, 1e-18, 1e15, 1e30, 1e154, 1e308, -1.0, math.nan, math.inf]
) | st.floats(0, 100)
MAYBE = st.none() | LEVEL
NAMES = ("exp_1", "spend")


def settings_of(kind: MetricType = MetricType.MEAN) -> EstimateSettings:
    definition = MetricDefinition("spend", 1, kind, Direction.INCREASE, "spend")
    return EstimateSettings(definition, min_units_per_arm=2)


MEAN, RATIO = settings_of(), settings_of(MetricType.RATIO)
SHARE = settings_of(MetricType.PROPORTION)


def totals_of(variant: str) -> Any:
    return st.builds(
        MetricTotals,
        *map(st.just, (*NAMES, variant)),
        n=N,
        mean=MAYBE,
        variance=st.none() | SPREAD,
        third_moment=MAYBE,
        min_value=MAYBE,
        max_value=MAYBE,
        denominator_mean=MAYBE,
        denominator_variance=st.none() | SPREAD,
        denominator_covariance=MAYBE,
        covariate_mean=MAYBE,
        covariate_variance=st.none() | SPREAD,
        covariate_covariance=MAYBE,
        covariate_denominator_covariance=MAYBE,
        new_share=st.none() | st.floats(0, 1),
        new_covariance=MAYBE,
    )


PAIR = st.tuples(totals_of("control"), totals_of("treatment"))


def numbers(value: Any) -> list[float]:
    """Every float in a row, its details included."""
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers(part)]
    if isinstance(value, list | tuple):
        return [n for part in value for n in numbers(part)]
    return [value] if isinstance(value, float) else []


def check(row: Estimate) -> None:
    """The contract between a row's status and its numbers."""
    fields = {name: getattr(row, name) for name in Estimate.__dataclass_fields__}
    bad = [(k, v) for k, v in fields.items() if not all(map(math.isfinite, numbers(v)))]
    allowed = {"df"} if row.df == math.inf else set()
    assert not {k for k, _ in bad} - allowed, bad
    tested = (row.p_value, row.ci_lower, row.ci_upper, row.standard_error)
    if row.status is not EstimateStatus.OK:
        assert row.reason
        assert (row.p_value, row.ci_lower, row.ci_upper) == (None, None, None)
        assert (row.relative_p_value, row.statistic) == (None, None)
        return
    assert row.reason == ""
    assert row.difference is not None
    for p in (row.p_value, row.relative_p_value, row.p_value_adjusted):
        assert p is None or 0 <= p <= 1
    assert row.standard_error is None or row.standard_error > 0
    if None not in tested:
        assert row.ci_lower <= row.difference <= row.ci_upper


ON_TOTALS = {
    "welch": lambda c, t: estimate_welch(c, t, MEAN),
    "proportions": lambda c, t: estimate_proportions(c, t, SHARE),
    "ratio": lambda c, t: estimate_ratio(c, t, RATIO),
    "cuped": lambda c, t: estimate_cuped(c, t, MEAN),
    "cuped_total": lambda c, t: estimate_cuped(c, t, MEAN, theta="total"),
    "cuped_ratio": lambda c, t: estimate_cuped(c, t, RATIO),
    "bayes": lambda c, t: estimate_bayes_normal(c, t, MEAN),
    "bayes_cuped": lambda c, t: estimate_bayes_normal(
        c, t, MEAN, estimator=estimate_cuped
    ),
    "bayes_absolute": lambda c, t: estimate_bayes_normal(
        c, t, MEAN, prior=NormalPrior(0.0, 1.0, "absolute")
    ),
    "bayes_rates": lambda c, t: estimate_bayes_proportions(c, t, SHARE),
    "dunnett": lambda c, t: adjust_dunnett([estimate_welch(c, t, MEAN)])[0],
    "post_stratified": lambda c, t: estimate_post_stratified([c], [t], MEAN),
    "confidence_sequence": lambda c, t: estimate_confidence_sequence(
        [c], [t], MEAN, plan=SequencePlan((1000, 1000))
    )[0],
    "group_sequential": lambda c, t: estimate_group_sequential(
        [c], [t], MEAN, plan=SequentialPlan(), elapsed=[0.5]
    )[0],
    "msprt": lambda c, t: estimate_msprt([c], [t], MEAN, tau=0.5)[0],
}


@pytest.mark.parametrize("name", ON_TOTALS)
@examples(max_examples=60)
@given(arms=PAIR)
def test_row_of_any_totals_keeps_the_contract(name, arms):
    check(ON_TOTALS[name](*arms))


def good(variant: str, **changes: Any) -> MetricTotals:
    plain = {
        "n": 5000,
        "mean": 10.0,
        "variance": 4.0,
        "denominator_mean": 3.0,
        "denominator_variance": 1.0,
        "denominator_covariance": 0.5,
        "covariate_mean": 5.0,
        "covariate_variance": 2.0,
        "covariate_covariance": 1.0,
        "covariate_denominator_covariance": 0.2,
    }
    return MetricTotals(*NAMES, variant, **{**plain, **changes})


FIELDS = [name for name in MetricTotals.__dataclass_fields__ if name.endswith(
    ("mean", "variance", "covariance", "share")
)]  # fmt: skip


@pytest.mark.parametrize(
    "name", sorted(set(ON_TOTALS) - {"proportions", "bayes_rates"})
)
@examples(max_examples=60)
@given(field=st.sampled_from(FIELDS), value=MAYBE, both=st.booleans())
def test_one_strange_moment_among_good_ones_keeps_the_contract(
    name, field, value, both
):
    strange = good("treatment", **{field: value})
    base = good("control", **({field: value} if both else {}))
    check(ON_TOTALS[name](base, strange))


@given(
    n=st.tuples(N, N),
    mean=st.tuples(LEVEL, LEVEL),
    variance=st.tuples(SPREAD, SPREAD),
    tail=st.tuples(st.sampled_from([0, 1, 3]), LEVEL, SPREAD, LEVEL),
)
def test_capped_row_keeps_the_contract(n, mean, variance, tail):
    arms = [
        MetricTotals(*NAMES, v, *one)
        for v, one in zip(
            ("control", "treatment"), zip(n, mean, variance, strict=True), strict=True
        )
    ]
    n_above, mean_above, variance_above, threshold = tail
    if math.isnan(threshold):
        threshold = 0.0
    inside = (mean_above, variance_above) if n_above else (None, None)
    tails = tuple(
        TailTotals(*NAMES, v, threshold, n_above, *inside)
        for v in ("control", "treatment")
    )
    check(estimate_capped(*arms, tails, MEAN))


@given(arms=st.tuples(*[st.tuples(N, N, LEVEL, SPREAD, LEVEL, SPREAD, LEVEL)] * 2))
def test_row_of_any_cluster_totals_keeps_the_contract(arms):
    made = [
        ClusterTotals(*NAMES, name, *one)
        for name, one in zip(("control", "treatment"), arms, strict=True)
    ]
    check(estimate_cluster_means(*made, MEAN))


@given(arms=st.tuples(*[st.tuples(N, N, MAYBE, st.none() | SPREAD, MAYBE, MAYBE)] * 2))
def test_row_of_any_order_statistics_keeps_the_contract(arms):
    made = [
        QuantileTotals(*NAMES, name, n, k, 0.5, value, error, 1.96, lower, upper)
        for name, (n, k, value, error, lower, upper) in zip(
            ("control", "treatment"), arms, strict=True
        )
    ]
    check(estimate_quantile(*made, MEAN))


MATRIX = st.lists(LEVEL, min_size=3, max_size=3).map(
    lambda v: ((v[0], v[1]), (v[1], v[2]))
)


@given(arms=st.tuples(*[st.tuples(N, st.tuples(LEVEL, LEVEL), MATRIX)] * 2))
def test_row_of_any_gram_of_covariates_keeps_the_contract(arms):
    made = [
        AdjustmentTotals(*NAMES, name, n, ("x",), means, spread)
        for name, (n, means, spread) in zip(("control", "treatment"), arms, strict=True)
    ]
    check(estimate_adjusted(*made, MEAN))
    check(estimate_lin(made[0], [made[1]], MEAN)[0])


PANEL = st.builds(
    PanelTotals,
    *map(st.just, (*NAMES, "v")),
    n=N,
    n_clusters=N,
    pre_days=st.sampled_from([0, 1, 7]),
    post_days=st.sampled_from([0, 1, 7]),
    mean_pre=LEVEL,
    mean_post=LEVEL,
    score_sum_of_squares=SPREAD,
    pre_score_sum_of_squares=st.none() | SPREAD,
    pre_score_product=MAYBE,
)


@given(arms=st.tuples(PANEL, PANEL))
def test_row_of_any_panel_keeps_the_contract(arms):
    made = [
        replace(arm, variant=name)
        for arm, name in zip(arms, ("control", "treatment"), strict=True)
    ]
    check(estimate_did(*made, MEAN))
    check(estimate_few_clusters(*made, MEAN))


DAYS = tuple(range(-2, 4))
GRAM = st.tuples(
    N, N, st.lists(LEVEL, min_size=6, max_size=6), st.sampled_from([0.0, 1e-300, 1.0,
    1e15, 1e300]), st.integers(0, 1000)
)  # fmt: skip


@given(arms=st.tuples(GRAM, GRAM))
def test_row_of_any_daily_totals_keeps_the_contract(arms):
    made = []
    for name, (n, clusters, means, size, seed) in zip(
        ("control", "treatment"), arms, strict=True
    ):
        factor = np.random.default_rng(seed).normal(0, 1, (6, 6))
        products = tuple(map(tuple, (size * (factor @ factor.T)).tolist()))
        made.append(GramTotals(*NAMES, name, n, clusters, DAYS, tuple(means), products))
    check(estimate_event_study(*made, MEAN))
    check(estimate_novelty(*made, MEAN))


@given(
    arms=st.tuples(*[st.tuples(N, N, LEVEL, LEVEL, SPREAD, SPREAD, LEVEL, MAYBE)] * 2)
)
def test_row_of_any_uptake_keeps_the_contract(arms):
    made = [
        ComplianceTotals(*NAMES, name, *one)
        for name, one in zip(("control", "treatment"), arms, strict=True)
    ]
    check(estimate_cace(*made, MEAN))


@given(
    sizes=st.tuples(*[st.sampled_from([0, 1, 2, 30])] * 2),
    level=st.sampled_from([0.0, 1.0, 1e15, 1e300, math.nan, math.inf]),
    spread=st.sampled_from([0.0, 1.0, 1e-300, 1e300]),
)
def test_bootstrap_row_of_any_sample_keeps_the_contract(sizes, level, spread):
    random = np.random.default_rng(1)
    made = [
        UnitSample(*NAMES, name, level + spread * random.normal(0, 1, (n, 1)))
        for name, n in zip(("control", "treatment"), sizes, strict=True)
    ]
    check(estimate_bootstrap(*made, MEAN, seed=1, n_resamples=50))


PLAIN = st.builds(
    MetricTotals, *map(st.just, (*NAMES, "v")), n=N, mean=MAYBE, variance=SPREAD
)


@given(arms=st.tuples(PLAIN, PLAIN), more=st.tuples(PLAIN, PLAIN))
def test_tests_over_several_rows_keep_the_contract(arms, more):
    rows = [
        estimate_welch(*(replace(arm, segment=f"os={level}") for arm in pair), MEAN)
        for level, pair in enumerate((arms, more))
    ]
    for row in estimate_spread(rows):
        check(row)
    cells = {
        (a, b): arm
        for a, pair in (("c", arms), ("t", more))
        for b, arm in zip(("c", "u"), pair, strict=True)
    }
    found = assess_interaction(cells, ("c", "c"), min_units=2)
    assert (found.p_value is None) == bool(found.reason)
    if found.p_value is not None:
        assert 0 <= found.p_value <= 1
        for one in found.contrasts:
            assert all(math.isfinite(v) for v in (one.difference, one.p_value, one.df))
    for margins in (Margins(-0.5, 0.5, MarginScale.ABSOLUTE), Margins(-0.1, 0.1)):
        whole = estimate_welch(*arms, MEAN)
        answer = assess_equivalence(whole, margins)
        assert answer.p_value is None or 0 <= answer.p_value <= 1


@example(mean=1e15, sd=1.0)
@example(mean=-1e15, sd=1.0)
@example(mean=1e6, sd=1e-8)
@example(mean=1e9, sd=1e-12)
@given(mean=st.sampled_from([1e3, 1e9, 1e15]), sd=st.sampled_from([1e-12, 1e-6, 1.0]))
def test_spread_below_the_precision_of_the_values_is_told_as_that(mean, sd):
    """Fail closed: neither a difference of rounded means nor `nothing varies`."""
    arms = [
        good("control", mean=mean, variance=sd**2),
        good("treatment", mean=mean + sd, variance=sd**2),
    ]
    for name in ("welch", "cuped", "capped", "post_stratified", "bayes"):
        row = _capped(*arms) if name == "capped" else ON_TOTALS[name](*arms)
        if sd / abs(mean) > 1e-12:
            assert row.reason != "PRECISION_LOST"
        elif sd / abs(mean) < 4 * np.finfo(float).eps:
            # Values of this size lie further apart than that.
            assert row.reason == "ZERO_VARIANCE"
        else:
            assert row.status is EstimateStatus.INSUFFICIENT_DATA
            assert row.reason == "PRECISION_LOST", name
            assert (row.difference, row.p_value) == (None, None)


def _capped(control: MetricTotals, treatment: MetricTotals) -> Estimate:
    tails = tuple(
        TailTotals(*NAMES, arm.variant, control.mean, 1, control.mean, 0.0)
        for arm in (control, treatment)
    )
    return estimate_capped(control, treatment, tails, MEAN)


def test_constant_value_is_no_loss_of_precision():
    values = np.full(3001, 0.1)
    noise = float(values.var(ddof=1))
    arms = [good(v, mean=0.1, variance=noise) for v in ("control", "treatment")]
    row = estimate_welch(*arms, MEAN)
    assert (row.reason, row.difference) == ("ZERO_VARIANCE", 0.0)
