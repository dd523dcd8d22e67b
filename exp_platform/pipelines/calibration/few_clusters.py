"""Few clusters that were assigned at random: means, harm and margins by bootstrap."""

import numpy as np
from numpy.random import Generator

from exp_platform.causal.cluster_guardrail import build_margin_test
from exp_platform.causal.cluster_means import estimate_means_by_cluster
from exp_platform.causal.cluster_sums import ClusterSums, sum_clusters
from exp_platform.pipelines.calibration.gate import (
    Array,
    Gate,
    Measured,
    Simulation,
    Values,
    equal,
)
from exp_platform.pipelines.calibration.quantities import (
    both_tails,
    ratio_of_means,
    tails,
)
from exp_platform.pipelines.calibration.series import draw_ar1
from exp_platform.pipelines.calibration.totals import MEAN, NAMES, columns, details
from exp_platform.records import ClusterTotals, Direction, Estimate
from exp_platform.stats.cluster import estimate_few_cluster_means, summarise_clusters
from exp_platform.stats.guardrail import ALPHA
from exp_platform.stats.harm import harm_p_value

Sums = tuple[ClusterSums, ClusterSums]

SIGNS = "sign flips of few clusters are discrete"
UNLIKE = "clusters of unlike size"
HARMLESS = "arms at the margin called harmless"
LEVEL = 2.0
HARM = 0.4


def _draw_arm(
    random: Generator, n_clusters: int, mean: float
) -> tuple[ClusterTotals, ClusterSums]:
    """Clusters of 5 to 35 units, correlation .1 inside: moments and sums."""
    sizes = random.integers(5, 36, n_clusters)
    clusters = np.repeat(np.arange(n_clusters), sizes)
    level = mean + np.sqrt(0.1) * random.standard_normal(n_clusters)
    values = level[clusters] + np.sqrt(0.9) * random.standard_normal(clusters.size)
    labels = clusters.astype(float)
    sums = sum_clusters(NAMES, (np.zeros(values.size), values), labels, days=(0, 1))
    return summarise_clusters(NAMES, values, labels), sums


def _means(random: Generator, runs: int, counts: tuple[int, int]) -> Values:
    rows, by_t = [], []
    for run in range(runs):
        arms = [_draw_arm(random, n, LEVEL) for n in counts]
        (control, ours), (treatment, theirs) = arms
        pair = (control, treatment)
        rows.append(estimate_means_by_cluster(pair, (ours, theirs), MEAN, seed=run))
        by_t.append(estimate_few_cluster_means(*pair, MEAN))
    p_values, difference = columns(rows, "p_value", "difference")
    lower, upper = columns(rows, "ci_lower", "ci_upper")
    harm = [harm_p_value(row, Direction.INCREASE) or 0.0 for row in rows]
    is_named = [r.details.get("inference") == "wild_cluster_bootstrap" for r in rows]
    return {
        **tails(p_values, difference),
        "coverage": (lower <= 0) & (upper >= 0),
        "false alarms, harm": np.array(harm) <= ALPHA,
        "false alarms, randomisation inference": (
            details(rows, "randomisation_p_value") <= 0.05
        ),
        "stated over true variance": _stated(by_t),
        "rows that name the bootstrap": np.array(is_named),
    }


def _stated(rows: list[Estimate]) -> Measured:
    """Mean of the squared errors over that of the squared differences."""
    errors, differences = columns(rows, "standard_error", "difference")
    return ratio_of_means(errors**2, differences**2)


def _simulate_means(counts: tuple[int, int], gates: tuple[Gate, ...]) -> Simulation:
    control, treated = counts
    return Simulation(
        f"cluster_means_{control}_{treated}",
        "wild cluster bootstrap of the difference of means",
        f"{control} against {treated} clusters of 5 to 35 units, correlation .1 "
        "inside; no effect",
        (estimate_means_by_cluster, estimate_few_cluster_means, harm_p_value),
        (*gates, equal("rows that name the bootstrap", 1.0)),
        2_000,
        25,
        lambda random, runs: _means(random, runs, counts),
    )


def _at_margin(random: Generator, runs: int, counts: tuple[int, int]) -> Values:
    """Worse by exactly the margin: .4 of a mean of 2."""
    means = (LEVEL, LEVEL - HARM)
    pairs = []
    for _ in range(runs):
        control, treatment = (
            _draw_arm(random, n, mean)[1] for n, mean in zip(counts, means, strict=True)
        )
        pairs.append((control, treatment))
    return _judge_margins(pairs)


def _judge_margins(pairs: list[Sums]) -> Values:
    margins = (("absolute", HARM), ("relative", HARM / LEVEL))
    return {
        f"{HARMLESS}, {name}": np.array(
            [
                _is_harmless(pair, margin, seed=run, is_relative=name == "relative")
                for run, pair in enumerate(pairs)
            ]
        )
        for name, margin in margins
    }


def _is_harmless(pair: Sums, margin: float, *, seed: int, is_relative: bool) -> bool:
    test = build_margin_test(*pair, is_relative=is_relative, good=1.0, seed=seed)
    return test(margin) <= ALPHA


def _changes(random: Generator, runs: int) -> Values:
    """Clusters of one unit, ten days before and ten after, in two arms of 7 and 6."""
    values = LEVEL + draw_ar1(random, (runs, 13, 20))
    values[:, 7:, 10:] -= HARM
    return _judge_margins([(_sums(one[:7]), _sums(one[7:])) for one in values])


def _sums(values: Array) -> ClusterSums:
    pre, post = values[:, :10].mean(axis=1), values[:, 10:].mean(axis=1)
    return ClusterSums(*NAMES, np.ones(len(values)), pre, post, 10, 10)


def _simulate_margin(counts: tuple[int, int], slack: float, why: str) -> Simulation:
    control, treated = counts
    return Simulation(
        f"guardrail_clusters_{control}_{treated}",
        "non-inferiority by wild cluster bootstrap, means",
        f"{control} against {treated} clusters of 5 to 35 units, the treatment worse by "
        "exactly the margin of 20 %",
        (build_margin_test,),
        _margin_gates(slack, why),
        4_000,
        60,
        lambda random, runs: _at_margin(random, runs, counts),
    )


def _margin_gates(slack: float, why: str) -> tuple[Gate, ...]:
    return tuple(
        equal(f"{HARMLESS}, {name}", ALPHA, slack, why)
        for name in ("absolute", "relative")
    )


def _mean_gates(slack: float, why: str) -> tuple[Gate, ...]:
    return (
        *both_tails(slack=slack, why=why),
        equal("coverage", 0.95, 2 * slack, why),
        equal("false alarms, harm", ALPHA, slack, why),
        equal("false alarms, randomisation inference", 0.05, 0.004, UNLIKE),
        equal("stated over true variance", 1.0, 0.1, "delta method, few clusters"),
    )


SIMULATIONS = (
    _simulate_means((5, 5), _mean_gates(0.005, SIGNS)),
    _simulate_means((12, 8), _mean_gates(0.005, SIGNS)),
    _simulate_means((40, 12), _mean_gates(0.005, SIGNS)),
    _simulate_margin((7, 5), 0.005, SIGNS),
    _simulate_margin((12, 8), 0.005, SIGNS),
    Simulation(
        "guardrail_clusters_did",
        "non-inferiority by wild cluster bootstrap, changes",
        "7 against 6 clusters, AR(1) .8 over 20 days, the treatment worse by exactly "
        "the margin of 20 %",
        (build_margin_test,),
        _margin_gates(0.005, SIGNS),
        4_000,
        60,
        _changes,
    ),
)
