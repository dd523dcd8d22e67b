"""Means when clusters were assigned."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    disease,
    equal,
    least,
    uniform,
)
from exp_platform.pipelines.calibration.quantities import (
    both_tails,
    tails,
)
from exp_platform.pipelines.calibration.totals import CLUSTERED, MEAN, NAMES, columns
from exp_platform.records import ClusterTotals
from exp_platform.stats.cluster import (
    effective_clusters,
    estimate_cluster_means,
    summarise_clusters,
)
from exp_platform.stats.welch import Arm, compare_arms

REFUSED = "experiments refused"


def _draw_arm(random: Generator, n_clusters: int) -> tuple[ClusterTotals, Arm]:
    """Clusters of 5 to 35 units, correlation .1 inside; and the units as if alone."""
    sizes = random.integers(5, 36, n_clusters)
    clusters = np.repeat(np.arange(n_clusters), sizes)
    level = np.sqrt(0.1) * random.standard_normal(n_clusters)
    values = level[clusters] + np.sqrt(0.9) * random.standard_normal(clusters.size)
    alone = ([float(values.size)], [values.mean()], [values.var(ddof=1)])
    arm = Arm(*(np.array(column) for column in alone))
    return summarise_clusters(NAMES, values, clusters.astype(float)), arm


def _clusters(random: Generator, runs: int) -> Values:
    rows, naive = [], []
    for _ in range(runs):
        (control, ours), (treatment, theirs) = (_draw_arm(random, n) for n in (40, 30))
        rows.append(estimate_cluster_means(control, treatment, CLUSTERED))
        naive.append(compare_arms(ours, theirs, 0.05).inference.p_value[0])
    p_values, difference = columns(rows, "p_value", "difference")
    found = tails(p_values, difference)
    return {
        **found,
        "p-values": p_values,
        "false alarms, units taken for independent": np.array(naive) < 0.05,
    }


def _few(random: Generator, runs: int) -> Values:
    reasons, sizes = [], []
    for _ in range(runs):
        (control, _), (treatment, _) = (_draw_arm(random, n) for n in (40, 12))
        row = estimate_cluster_means(control, treatment, MEAN)
        reasons.append(row.reason == "NEEDS_WILD_BOOTSTRAP")
        sizes.append(effective_clusters(treatment) < 12)
    return {REFUSED: np.array(reasons), "fewer effective clusters": np.array(sizes)}


SIMULATIONS = (
    Simulation(
        "cluster_means",
        "delta method over clusters, Welch's t",
        "40 against 30 clusters of 5 to 35 units, correlation .1 inside; no effect",
        (summarise_clusters, estimate_cluster_means),
        (
            *both_tails(slack=0.004, why="delta method with 30 clusters"),
            uniform("p-values"),
            disease(
                least("false alarms, units taken for independent", 0.15),
                "a test on units inside assigned clusters is refused",
                "tests/stats/test_cluster.py::test_units_inside_assigned_clusters_are_refused",
            ),
        ),
        8_000,
        800,
        _clusters,
    ),
    Simulation(
        "cluster_means_few",
        "delta method over clusters",
        "40 against 12 clusters",
        (effective_clusters,),
        (equal(REFUSED, 1.0), equal("fewer effective clusters", 1.0)),
        200,
        50,
        _few,
    ),
)
