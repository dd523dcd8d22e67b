"""Difference in differences: correlated days, clusters, and too few of them."""

import numpy as np
from numpy.random import Generator

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.event_study import estimate_deltas
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.period_totals import total_periods
from exp_platform.pipelines.calibration.gate import (
    Array,
    Drawn,
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    uniform,
)
from exp_platform.pipelines.calibration.quantities import (
    TRUE_P,
    both_misses,
    both_tails,
    misses,
    p_values_of,
    tails,
)
from exp_platform.pipelines.calibration.series import draw_ar1, draw_arms
from exp_platform.pipelines.calibration.totals import MEAN, columns
from exp_platform.records import Estimate, GramTotals

DAYS = range(-10, 10)
FALSE = "false alarms"
SERIES = "AR(1) .8 over 20 days"


def _iid_statistic(control: GramTotals, treatment: GramTotals) -> float:
    """Of the same difference with unit-days taken for independent."""
    change = np.where(np.array(DAYS) >= 0, 0.1, -0.1)
    arms = (control, treatment)
    gap = sum(
        sign * (change @ arm.means) for sign, arm in zip((-1, 1), arms, strict=True)
    )
    spread = 0.0
    for arm in arms:
        daily = np.diag(np.array(arm.score_gram)) / (arm.n - 1)
        spread += float(change**2 @ daily) / arm.n
    return float(gap / np.sqrt(spread))


def _units(random: Generator, runs: int) -> Values:
    pairs = draw_arms(random, runs, (25, 25), DAYS)
    rows = [estimate_did(panel_of(c), panel_of(t), MEAN) for c, t in pairs]
    p_values, difference = columns(rows, "p_value", "difference")
    naive = np.array([_iid_statistic(*pair) for pair in pairs])
    return {
        **tails(p_values, difference),
        "p-values": p_values,
        "false alarms, unit-days taken for independent": np.abs(naive) > 1.959964,
    }


def _unequal(random: Generator, runs: int) -> Values:
    """20 treated of 60, an effect of .5."""
    drift = 0.5 * (np.array(DAYS) >= 0)
    pairs = draw_arms(random, runs, (40, 20), DAYS, drift=drift)
    rows = [estimate_did(panel_of(c), panel_of(t), MEAN) for c, t in pairs]
    limits = columns(rows, "ci_lower", "ci_upper")
    return {**misses(limits, 0.5), TRUE_P: p_values_of(rows, 0.5)}


def _unbalanced(random: Generator, runs: int) -> Values:
    """Ready-made panels in which a fifth of the cells is missing."""
    periods = range(-4, 4)
    values = draw_ar1(random, (runs, 60, 8), rho=0.5)
    values[random.random(values.shape) < 0.2] = np.nan
    rows = []
    for one in values:
        arms = [
            total_periods(
                part,
                weight=np.ones(len(part)),
                cluster=np.arange(len(part)),
                periods=tuple(periods),
                totals_of=("simulated", "metric", name),
            )
            for part, name in ((one[:30], "control"), (one[30:], "treatment"))
        ]
        rows.append(estimate_did(panel_of(arms[0]), panel_of(arms[1]), MEAN))
    limits = columns(rows, "ci_lower", "ci_upper")
    return {**misses(limits, 0.0), TRUE_P: p_values_of(rows, 0.0)}


def _event_study(random: Generator, runs: int) -> Values:
    """An effect of .2 on the event's day that grows by .05 a day."""
    days = range(-4, 5)
    truth = np.where(np.array(days) >= 0, 0.2 + 0.05 * np.array(days), 0.0)
    pairs = draw_arms(random, runs, (60, 40), days, drift=truth)
    average = truth[4:].mean()
    rows = [estimate_event_study(*pair, MEAN) for pair in pairs]
    limits = columns(rows, "ci_lower", "ci_upper")
    deltas = [estimate_deltas(*pair) for pair in pairs]
    quantities: dict[str, Drawn] = {
        **misses(limits, average),
        TRUE_P: p_values_of(rows, average),
    }
    for place, name in ((0, "first lead"), (8, "last lag")):
        lower, upper = columns([d[place] for d in deltas], "ci_lower", "ci_upper")
        covers = (lower <= truth[place]) & (truth[place] <= upper)
        quantities[f"coverage of the {name}"] = covers
    return quantities


def _sums(values: Array, variant: str) -> ClusterSums:
    """Clusters of one unit: ten days before and ten after."""
    pre, post = values[:, :10].mean(axis=1), values[:, 10:].mean(axis=1)
    names = ("simulated", "metric", variant)
    return ClusterSums(*names, np.ones(len(values)), pre, post, 10, 10)


def _draw_clusters(
    random: Generator, runs: int, counts: tuple[int, int], effect: float = 0.0
) -> list[tuple[ClusterSums, ClusterSums]]:
    values = draw_ar1(random, (runs, sum(counts), 20))
    values[:, counts[0] :, 10:] += effect
    return [
        (_sums(one[: counts[0]], "control"), _sums(one[counts[0] :], "treatment"))
        for one in values
    ]


def _wild(random: Generator, runs: int, counts: tuple[int, int]) -> Values:
    pairs = _draw_clusters(random, runs, counts, effect=1.0)
    rows = [estimate_did_by_cluster(*pair, MEAN) for pair in pairs]
    lower, upper = columns(rows, "ci_lower", "ci_upper")
    return {
        **misses((lower, upper), 1.0),
        "rows that name the bootstrap": _named(rows),
    }


def _named(rows: list[Estimate]) -> Flags:
    found = [row.details["inference"] == "wild_cluster_bootstrap" for row in rows]
    return np.array(found)


def _wild_at(counts: tuple[int, int], runs: int, short: int) -> Simulation:
    control, treated = counts
    return Simulation(
        f"wild_bootstrap_{control}_{treated}",
        "wild cluster bootstrap of the 2x2 difference",
        f"{control} clusters against {treated}, {SERIES}, effect 1",
        (estimate_did_by_cluster,),
        (
            *both_misses(slack=0.005, why="sign flips of few clusters are discrete"),
            equal("rows that name the bootstrap", 1.0),
        ),
        runs,
        short,
        lambda random, n: _wild(random, n, counts),
    )


def _two_treated(random: Generator, runs: int) -> Values:
    """48 clusters against 2."""
    pairs = _draw_clusters(random, runs, (48, 2))
    rows = [estimate_did_by_cluster(*pair, MEAN) for pair in pairs]
    dealt = [estimate_by_randomisation(*pair, MEAN) for pair in pairs]
    naive = np.array([_naive_t(*pair) for pair in pairs])
    return {
        "rows refused": np.array([r.reason == "TOO_FEW_CLUSTERS" for r in rows]),
        "false alarms, randomisation inference": columns(dealt, "p_value")[0] <= 0.05,
        "false alarms, clustered errors and t(49)": naive > 2.0096,
    }


def _naive_t(control: ClusterSums, treatment: ClusterSums) -> float:
    """What the platform refuses to print."""
    changes = [arm.changes for arm in (control, treatment)]
    factor = 50 / 49 * 49 / 48
    variance = sum(float(np.var(one)) / one.size for one in changes) * factor
    return float(abs(changes[1].mean() - changes[0].mean()) / np.sqrt(variance))


def _randomisation(random: Generator, runs: int) -> Values:
    """8 clusters against 6, an effect of 1."""
    pairs = _draw_clusters(random, runs, (8, 6), effect=1.0)
    rows = [estimate_by_randomisation(*pair, MEAN) for pair in pairs]
    lower, upper = columns(rows, "ci_lower", "ci_upper")
    return {"coverage": (lower <= 1.0) & (upper >= 1.0)}


SIMULATIONS = (
    Simulation(
        "did",
        "2x2 difference, CR1 and t(G - 1)",
        f"25 against 25 units, {SERIES}, no effect",
        (estimate_did, panel_of),
        (
            *both_tails(),
            uniform("p-values"),
            disease(
                least("false alarms, unit-days taken for independent", 0.3),
                "a unit is a cluster of its days",
                "did",
            ),
        ),
        8_000,
        800,
        _units,
    ),
    Simulation(
        "did_unequal_arms",
        "2x2 difference, CR1 and t(G - 1)",
        f"40 against 20 units, {SERIES}, effect .5",
        (estimate_did,),
        (
            *both_misses(
                slack=0.006, why="t(G - 1) with 20 treated; CR1 has one factor"
            ),
            uniform(TRUE_P),
        ),
        8_000,
        800,
        _unequal,
    ),
    Simulation(
        "did_unbalanced",
        "2x2 difference from period totals",
        "30 against 30 units over 8 periods, AR(1) .5, a fifth of the cells missing",
        (total_periods,),
        (*both_misses(slack=0.003, why="means over different units"), uniform(TRUE_P)),
        4_000,
        300,
        _unbalanced,
    ),
    Simulation(
        "event_study",
        "event study, CR1 and t(G - 1)",
        "60 against 40 units, AR(1) .8, an effect that grows",
        (estimate_event_study, estimate_deltas),
        (
            *both_misses(slack=0.003, why="CR1 has one factor for both arms"),
            uniform(TRUE_P),
            equal("coverage of the first lead", 0.95, 0.005, "CR1 has one factor"),
            equal("coverage of the last lag", 0.95, 0.005, "CR1 has one factor"),
        ),
        4_000,
        250,
        _event_study,
    ),
    *(
        _wild_at(counts, runs, short)
        for counts, runs, short in (
            ((5, 5), 4_000, 300),
            ((8, 8), 2_000, 30),
            ((12, 12), 2_000, 30),
            ((15, 8), 1_500, 60),
        )
    ),
    Simulation(
        "did_two_treated",
        "2x2 difference where it fails",
        f"48 clusters against 2, {SERIES}, no effect",
        (estimate_did_by_cluster, estimate_by_randomisation),
        (
            equal("rows refused", 1.0),
            equal(
                "false alarms, randomisation inference", 0.05, 0.002, "1,225 choices"
            ),
            disease(
                least("false alarms, clustered errors and t(49)", 0.25),
                "refused below 5 clusters; randomisation inference stands instead",
                "tests/causal/test_few_clusters.py::test_fewer_than_five_treated_clusters_have_no_interval",
            ),
        ),
        2_000,
        200,
        _two_treated,
    ),
    Simulation(
        "did_randomisation",
        "randomisation inference for clusters",
        f"8 clusters against 6, {SERIES}, effect 1",
        (estimate_by_randomisation,),
        (equal("coverage", 0.95, 0.003, "3,003 choices"),),
        1_500,
        40,
        _randomisation,
    ),
)
