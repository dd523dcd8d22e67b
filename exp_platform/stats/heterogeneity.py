"""Does the effect differ between segments, and which segments stand out?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import chdtrc

from exp_platform.records import Estimate
from exp_platform.stats.inference import Array
from exp_platform.stats.multiplicity import adjust_bh, adjust_holm

Scale = Literal["absolute", "relative"]


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Effects of one metric and arm over the levels of one attribute.

    Attributes:
        attribute: name of the attribute; its levels are `segments`.
        segments: rows that entered, with p-values after Benjamini-Hochberg over all
            segments of all attributes assessed together.
        common: effect all levels would share (inverse-variance mean).
        q, df, p_value: Cochran's test that they share it.
        p_value_adjusted: after Holm over the attributes assessed together.
        i_squared: share of the spread between levels that sampling does not explain.
        tau_squared: variance of the true effects between levels.
        scale: of the effects compared, differences or relative lifts.
        reason: coded cause of no test, else "".
    """

    experiment_id: str
    metric_name: str
    treatment: str
    method: str
    attribute: str
    segments: tuple[Estimate, ...]
    scale: Scale
    common: float | None = None
    q: float | None = None
    df: int | None = None
    p_value: float | None = None
    p_value_adjusted: float | None = None
    i_squared: float | None = None
    tau_squared: float | None = None
    reason: str = ""


def assess_segments(
    estimates: Sequence[Estimate], *, scale: Scale = "absolute"
) -> tuple[Heterogeneity, ...]:
    """Do effects differ between the levels of any attribute?

    The interaction test answers first: a segment that is significant where others are
    not is no evidence of a difference. On the absolute scale effects differ wherever
    base rates do; on the relative scale they may not.

    Args:
        estimates: rows of one method over segments `attribute=value`; rows without a
            number and the row of all units are left out.
        scale: of the effects compared.

    Returns:
        One entry per metric, arm, method and attribute.

    Assumptions:
        Levels are disjoint sets of units, large enough for normal effects (the plan's
        least units per arm).

    Outcomes:
        A test, or none with ONE_SEGMENT.

    References:
        Cochran (1954); DerSimonian and Laird (1986); Benjamini and Hochberg (1995).
    """
    rows = [e for e in estimates if e.is_ok and "=" in e.segment]
    adjusted = adjust_bh([_p_value(e, scale) for e in rows])
    groups: dict[tuple[str, ...], list[Estimate]] = {}
    for row, p in zip(rows, adjusted, strict=True):
        known = replace(row, p_value_adjusted=None if np.isnan(p) else float(p))
        groups.setdefault(_key(row), []).append(known)
    found = [_assess(key, group, scale) for key, group in groups.items()]
    holm = adjust_holm([one.p_value for one in found])
    return tuple(
        replace(one, p_value_adjusted=None if np.isnan(p) else float(p))
        for one, p in zip(found, holm, strict=True)
    )


def compare_effects(effects: Array, errors: Array) -> tuple[float, float, float, float]:
    """Are several independent effects one and the same?

    Args:
        effects: shape (k,).
        errors: their standard errors, same shape.

    Returns:
        Common effect, Cochran's Q, its p-value, and the variance between the effects.

    References:
        Cochran (1954); DerSimonian and Laird (1986).
    """
    weights = 1 / errors**2
    common = float(weights @ effects / weights.sum())
    q = float(weights @ (effects - common) ** 2)
    df = effects.size - 1
    scale = float(weights.sum() - (weights @ weights) / weights.sum())
    between = max(0.0, (q - df) / scale) if scale > 0 else 0.0
    return common, q, float(chdtrc(df, q)), between


def _assess(
    key: tuple[str, ...], rows: Sequence[Estimate], scale: Scale
) -> Heterogeneity:
    experiment_id, metric_name, treatment, method, attribute = key
    blank = Heterogeneity(
        experiment_id, metric_name, treatment, method, attribute, tuple(rows), scale
    )
    pairs = [pair for pair in (_effect(row, scale) for row in rows) if pair]
    if len(pairs) < 2:
        return replace(blank, reason="ONE_SEGMENT")
    effects, errors = np.array(pairs).T
    common, q, p, between = compare_effects(effects, errors)
    df = len(pairs) - 1
    return replace(
        blank,
        common=common,
        q=q,
        df=df,
        p_value=p,
        i_squared=max(0.0, 1 - df / q) if q > 0 else 0.0,
        tau_squared=between,
    )


def _key(row: Estimate) -> tuple[str, ...]:
    attribute = row.segment.partition("=")[0]
    return (row.experiment_id, row.metric_name, row.treatment, row.method, attribute)


def _p_value(row: Estimate, scale: Scale) -> float | None:
    return row.p_value if scale == "absolute" else row.relative_p_value


def _effect(row: Estimate, scale: Scale) -> tuple[float, float] | None:
    """The row's effect and its standard error; None where the row has none."""
    if scale == "absolute":
        return (row.difference or 0.0, row.standard_error or 0.0)
    mean, own, shared = (
        row.details.get(f"baseline_{part}")
        for part in ("mean", "variance", "covariance")
    )
    if row.relative_lift is None or mean is None or own is None or shared is None:
        return None
    lift, error = row.relative_lift, row.standard_error or 0.0
    variance = error**2 - 2 * lift * shared + lift**2 * own
    return (lift, float(np.sqrt(variance)) / float(mean))
