"""Does the effect differ between segments, and which segments stand out?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import chdtrc

from exp_platform.records import Estimate, EstimateRole, EstimateStatus
from exp_platform.stats.draft import Refusal, status_of
from exp_platform.stats.inference import Array
from exp_platform.stats.multiplicity import adjust_bh, adjust_holm

METHOD = "segment_interaction"

Scale = Literal["absolute", "relative"]
Key = tuple[str, ...]


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
        left_out: rows without a number, which say why.
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
    left_out: tuple[Estimate, ...] = ()


def assess_segments(
    estimates: Sequence[Estimate], *, scale: Scale = "absolute"
) -> tuple[Heterogeneity, ...]:
    """Do effects differ between the levels of any attribute?

    The interaction test answers first: a segment that is significant where others are
    not is no evidence of a difference. On the absolute scale effects differ wherever
    base rates do; on the relative scale they may not.

    Args:
        estimates: rows of one method over segments `attribute=value`; rows without a
            number are told apart, the row of all units is left out.
        scale: of the effects compared.

    Returns:
        One entry per metric, arm, method and attribute.

    Assumptions:
        Levels are disjoint sets of units, large enough for normal effects (the plan's
        least units per arm).

    Outcomes:
        A test, or none with NO_SEGMENT (no level has a number), ONE_SEGMENT or
        INVALID_MOMENTS.

    References:
        Cochran (1954); DerSimonian and Laird (1986); Benjamini and Hochberg (1995).
    """
    levels = [e for e in estimates if "=" in e.segment]
    rows = [e for e in levels if e.is_ok]
    groups = _group(adjust_segments(rows, scale=scale))
    lacking = _group([e for e in levels if not e.is_ok])
    found = [
        _assess(key, groups.get(key, ()), tuple(lacking.get(key, ())), scale)
        for key in _group(levels)
    ]
    holm = adjust_holm([one.p_value for one in found])
    return tuple(
        replace(one, p_value_adjusted=None if np.isnan(p) else float(p))
        for one, p in zip(found, holm, strict=True)
    )


def adjust_segments(
    estimates: Sequence[Estimate], *, scale: Scale = "absolute"
) -> tuple[Estimate, ...]:
    """The same rows with p-values after Benjamini-Hochberg over all of them.

    Args:
        estimates: of all segments that were looked at; a row without a number was not
            tested and does not count.
        scale: whose p-values are corrected.

    References:
        Benjamini and Hochberg (1995).
    """
    adjusted = adjust_bh([_p_value(e, scale) for e in estimates])
    return tuple(
        replace(e, p_value_adjusted=None if np.isnan(p) else float(p))
        for e, p in zip(estimates, adjusted, strict=True)
    )


def estimate_spread(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """How much do effects differ between the levels of each attribute?

    One row per metric, arm and attribute, with the attribute's name as its segment.
    `difference` is the standard deviation of the levels' true effects, `relative_lift`
    the one of their true lifts; the p-values are Cochran's, that it is 0, on each scale.
    `p_value_adjusted` is after Holm over the rows made together. `details` holds what
    was tested, the common effect and the share of the spread that is no noise.

    Args:
        estimates: rows of one method per metric; those of single levels, segment
            `attribute=value`, enter, others are left out.

    Estimand:
        EFFECT_SPREAD, the standard deviation of the average effect between levels.

    Assumptions:
        As `assess_segments`.

    Outcomes:
        OK; INSUFFICIENT_DATA with ONE_SEGMENT when fewer than two levels have a number;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Cochran (1954); DerSimonian and Laird (1986).
    """
    groups = _group([e for e in estimates if "=" in e.segment])
    absolute = {_key_of(one): one for one in assess_segments(estimates)}
    lifts = assess_segments(estimates, scale="relative")
    relative = {_key_of(one): one for one in lifts}
    return tuple(
        _describe_spread(rows, absolute.get(key), relative.get(key))
        for key, rows in groups.items()
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
    unit, df = float(errors.min()), effects.size - 1
    with np.errstate(all="ignore"):
        # In units of the smallest error: its square could under- or overflow.
        weights = (unit / errors) ** 2
        common = float(weights @ effects / weights.sum())
        q = float(np.sum(((effects - common) / errors) ** 2))
        scale = float(weights.sum() - (weights @ weights) / weights.sum())
    between = max(0.0, (q - df) / scale) * unit * unit if scale > 0 else 0.0
    return common, q, float(chdtrc(df, q)), between


def _describe_spread(
    rows: Sequence[Estimate],
    absolute: Heterogeneity | None,
    relative: Heterogeneity | None,
) -> Estimate:
    first = rows[0]
    draft = Estimate(
        experiment_id=first.experiment_id,
        metric_name=first.metric_name,
        method=METHOD,
        control=first.control,
        treatment=first.treatment,
        status=EstimateStatus.INSUFFICIENT_DATA,
        estimand="EFFECT_SPREAD",
        n_control=sum(row.n_control or 0 for row in rows if row.is_ok),
        n_treatment=sum(row.n_treatment or 0 for row in rows if row.is_ok),
        alpha=first.alpha,
        role=EstimateRole.DIAGNOSTIC,
        metric_version=first.metric_version,
        segment=first.segment.partition("=")[0],
        reason="ONE_SEGMENT"
        if absolute is None or len(absolute.segments) < 2
        else absolute.reason,
        details=_list_levels(rows),
    )
    if absolute is None or absolute.q is None:
        return replace(draft, status=status_of(draft.reason))
    details = {**draft.details, **_describe_scale(absolute)}
    if relative is not None and relative.q is not None:
        details["relative"] = _describe_scale(relative)
    return replace(
        draft,
        status=EstimateStatus.OK,
        reason="",
        difference=math.sqrt(absolute.tau_squared or 0.0),
        relative_lift=_root(relative.tau_squared if relative else None),
        p_value=absolute.p_value,
        relative_p_value=relative.p_value if relative else None,
        p_value_adjusted=absolute.p_value_adjusted,
        statistic=absolute.q,
        df=absolute.df,
        details=details,
    )


def _list_levels(rows: Sequence[Estimate]) -> dict[str, Any]:
    """Which levels entered, and why the others could not."""
    return {
        "base_method": rows[0].method,
        "levels": [row.segment for row in rows if row.is_ok],
        "left_out": {row.segment: row.reason for row in rows if not row.is_ok},
    }


def _describe_scale(found: Heterogeneity) -> Mapping[str, Any]:
    return {
        "common": found.common,
        "q": found.q,
        "i_squared": found.i_squared,
        "p_value_adjusted": found.p_value_adjusted,
    }


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _group(rows: Sequence[Estimate]) -> dict[Key, list[Estimate]]:
    groups: dict[Key, list[Estimate]] = {}
    for row in rows:
        groups.setdefault(_key(row), []).append(row)
    return groups


def _key_of(found: Heterogeneity) -> Key:
    return (
        found.experiment_id,
        found.metric_name,
        found.treatment,
        found.method,
        found.attribute,
    )


def _assess(
    key: Key, rows: Sequence[Estimate], left_out: tuple[Estimate, ...], scale: Scale
) -> Heterogeneity:
    experiment_id, metric_name, treatment, method, attribute = key
    blank = Heterogeneity(
        experiment_id,
        metric_name,
        treatment,
        method,
        attribute,
        tuple(rows),
        scale,
        left_out=left_out,
    )
    pairs = [pair for pair in (_effect(row, scale) for row in rows) if pair]
    if len(pairs) < 2:
        return replace(blank, reason="ONE_SEGMENT" if rows else "NO_SEGMENT")
    effects, errors = np.array(pairs).T
    common, q, p, between = compare_effects(effects, errors)
    if not all(map(math.isfinite, (common, q, p, between))):
        return replace(blank, reason=Refusal.INVALID_MOMENTS.value)
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


def _key(row: Estimate) -> Key:
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
    # products, not powers: these overflow to infinity instead of raising
    variance = error * error - 2 * lift * shared + lift * lift * own
    return (lift, math.sqrt(variance) / mean) if 0 < variance < math.inf else None
