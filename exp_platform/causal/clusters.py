"""Cluster-robust inference: how many clusters are enough, and the CR1 factor.

A cluster is the level at which treatment was assigned; assigned by unit, every unit is
one. Clusters lie wholly in one arm.
"""

from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal

MODEL_PARAMETERS = 2
"""Intercept and treatment in the regression of a unit's change."""


def refuse_clusters(n_control: int, n_treatment: int) -> Refusal | None:
    """Are there enough clusters in each arm for t(G - 1) with CR1 errors?

    Args:
        n_control: clusters in control.
        n_treatment: clusters in the treatment arm.

    References:
        Cameron, Gelbach and Miller (2008); MacKinnon and Webb (2017).
    """
    fewest = min(n_control, n_treatment)
    if fewest < FEWEST_CLUSTERS:
        return Refusal.TOO_FEW_CLUSTERS
    return Refusal.NEEDS_WILD_BOOTSTRAP if fewest < BOOTSTRAP_BELOW else None


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
