"""A guardrail's margin tested by the bootstrap, where clusters are too few for t."""

from collections.abc import Callable
from dataclasses import replace

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.wild_bootstrap import draw_bootstrap


def build_margin_test(
    control: ClusterSums,
    treatment: ClusterSums,
    *,
    is_relative: bool,
    good: float,
    seed: int = 0,
) -> Callable[[float], float]:
    """How likely are the data when the harm is as large as a margin?

    A relative margin m is a share of the counterfactual c, the treated arm's mean
    before plus control's change (control's mean, where nothing was seen before). Harm
    of that size means good x difference + m c = 0, which is linear in the clusters'
    sums: the difference between good x change + m x before of the treated and
    (good - m) x change of control.

    Args:
        control: cluster sums of the untreated arm.
        treatment: cluster sums of the treated arm.
        is_relative: margins are shares of the counterfactual, not in units of the
            metric.
        good: 1 when an increase is good, else -1.
        seed: of the bootstrap.

    Returns:
        One-sided p-value of "the harm is at least this margin", by margin.

    References:
        Cameron, Gelbach and Miller (2008).
    """
    if not is_relative:
        turned = [_with_change(arm, good, 0.0) for arm in (control, treatment)]
        fixed = draw_bootstrap(turned[0], turned[1], seed=seed)
        return lambda margin: fixed.p_above(-margin)

    def p_of(margin: float) -> float:
        """Draw again: the margin is part of what varies."""
        test = draw_bootstrap(
            _with_change(control, good - margin, 0.0),
            _with_change(treatment, good, margin),
            seed=seed,
        )
        return test.p_above(0.0)

    return p_of


def _with_change(arm: ClusterSums, factor: float, share: float) -> ClusterSums:
    """The arm as if its change were factor x change + share x before."""
    return replace(arm, post=factor * arm.changes + (1 + share) * arm.pre)
