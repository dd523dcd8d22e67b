"""A refresh in words and tables, for people and for programs."""

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from exp_platform.errors import UsageError
from exp_platform.pipelines.refresh import RefreshOutcome
from exp_platform.records import MetricTotals
from exp_platform.stats.ratio import ratio_arm


def read_watermark(text: str | None) -> datetime | None:
    """An ISO instant; without a zone it is UTC.

    Raises:
        UsageError: it cannot be read.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "the watermark is not an instant",
            found=text,
            allowed="an ISO date or instant: 2026-01-05, 2026-01-05T12:00:00+00:00",
        ) from error
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def as_lines(outcome: RefreshOutcome) -> list[str]:
    """How far the totals are complete, and what was read for them."""
    report = outcome.report
    read = f"read {report.n_files_read} of {report.n_files} data files"
    if report.full_reason:
        what = f"full pass ({report.full_reason}): {read}, {report.n_units} units"
    else:
        what = (
            f"incremental: {read}, {report.n_units_touched} of {report.n_units} units"
            f" new or moved, {report.n_cohorts_computed} cohorts computed again"
        )
    whole = [f"read in full: {n} ({why})" for n, why in sorted(report.in_full.items())]
    whole += [
        f"segment left out: {name} (it takes all events; `exp run` computes it)"
        for name in outcome.segments_left_out
    ]
    complete = "complete: data without dates"
    if outcome.is_dated:
        complete = f"complete as of {report.watermark_ts:%Y-%m-%d %H:%M} UTC"
    return [complete, what, *whole]


def as_table(outcome: RefreshOutcome) -> list[dict[str, Any]]:
    """Totals of all units, a line per metric and arm; the mean of a ratio is the ratio."""
    return [
        {
            "metric": metric,
            "variant": variant,
            "units": arm.n,
            **_moments(arm),
            "not yet mature": arm.n_immature,
            "value missing": arm.n_missing,
        }
        for (metric, segment, variant), arm in sorted(outcome.totals.items())
        if segment == "all"
    ]


def _moments(arm: MetricTotals) -> dict[str, str]:
    """Mean and variance; of a ratio the ratio and that of its linearised values."""
    if arm.denominator_mean is None:
        mean, variance = arm.mean, arm.variance
    else:
        ratio = ratio_arm(arm)
        mean, variance = float(ratio.mean[0]), float(ratio.variance[0])
    return {"mean": _number(mean), "variance": _number(variance)}


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.6g}"


def as_document(outcome: RefreshOutcome) -> dict[str, Any]:
    """Everything, for `--format json`."""
    instant = outcome.report.watermark_ts.isoformat()
    watermark = instant if outcome.is_dated else None
    return {
        "refresh": {**asdict(outcome.report), "watermark_ts": watermark},
        "segments_left_out": list(outcome.segments_left_out),
        "totals": [asdict(arm) for _, arm in sorted(outcome.totals.items())],
    }
