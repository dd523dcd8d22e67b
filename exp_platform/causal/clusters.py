"""Cluster-robust inference: how many clusters are enough, and the CR1 factor.

A cluster is the level at which treatment was assigned; assigned by unit, every unit is
one. Clusters lie wholly in one arm.
"""

import math

from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal
from exp_platform.stats.inference import Array

MODEL_PARAMETERS = 2
"""Intercept and treatment in the regression of a unit's change."""


def refuse_clusters(
    n_control: int, n_treatment: int, effective: float = math.inf
) -> Refusal | None:
    """Are there enough clusters in each arm for t(G - 1) with CR1 errors?

    Args:
        n_control: clusters in control.
        n_treatment: clusters in the treatment arm.
        effective: number of both, where it is known (`count_effective_arms`).

    References:
        Cameron, Gelbach and Miller (2008); MacKinnon and Webb (2017); Carter, Schnepel
        and Steigerwald (2017).
    """
    fewest = min(n_control, n_treatment)
    if fewest < FEWEST_CLUSTERS:
        return Refusal.TOO_FEW_CLUSTERS
    is_few = min(fewest, effective) < BOOTSTRAP_BELOW
    return Refusal.NEEDS_WILD_BOOTSTRAP if is_few else None


def share_sizes(sizes: Array) -> tuple[float, float]:
    """How unequal an arm's clusters are: sums of the powers of their shares of it.

    Args:
        sizes: units of each cluster, or sums of their weights, shape (n_clusters,).

    Returns:
        Sums over clusters of the 2nd and of the 4th power.
    """
    squares = (sizes / sizes.sum()) ** 2
    return float(squares.sum()), float(squares @ squares)


def count_effective_arms(*arms: tuple[float, float] | None) -> float:
    """Effective number of clusters for the difference between arms, or for one arm.

    Clusters of unequal size and arms of unequal number weigh as fewer equal ones.

    Args:
        arms: `share_sizes` of each; None = not known, and the number is infinite.

    References:
        Carter, Schnepel and Steigerwald (2017), with all units of a cluster alike.
    """
    known = [arm for arm in arms if arm is not None]
    if len(known) < len(arms):
        return math.inf
    return sum(arm[0] for arm in known) ** 2 / sum(arm[1] for arm in known)


def cr1_factor(n_clusters: int, n_units: int) -> float:
    """Small-sample factor G / (G - 1) x (N - 1) / (N - 2) of a unit's change.

    Args:
        n_clusters: G, both arms.
        n_units: N, both arms: one collapsed observation (post - pre) per unit.

    References:
        Cameron and Miller (2015).
    """
    clusters = n_clusters / (n_clusters - 1)
    return clusters * (n_units - 1) / (n_units - MODEL_PARAMETERS)
