"""Rows of `metric_aggregates_overall` as typed totals."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from exp_platform.records import MetricTotals

_NAMES = tuple(field.name for field in fields(MetricTotals))


def read_totals(
    rows: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, str], MetricTotals]:
    """Totals by (metric, segment, variant).

    Args:
        rows: column -> value, as the SQL model returns them.
    """
    totals = (MetricTotals(**{name: row[name] for name in _NAMES}) for row in rows)
    return {(t.metric_name, t.segment, t.variant): t for t in totals}
