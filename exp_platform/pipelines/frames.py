"""Moments of any data frame: pandas, Polars, Arrow or a DuckDB relation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.records import MetricTotals

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class MeanColumns:
    """Columns of a frame with one row per unit, and the arm that is control."""

    metric: str
    variant: str
    control: str


def totals_of_frame(frame: Any, columns: MeanColumns) -> dict[str, MetricTotals]:
    """Moments per arm; control has the key "".

    Args:
        frame: one row per unit; rows whose value is null are left out.
        columns: which columns, and which arm is control.

    Raises:
        UsageError: not a frame, a column that is not there, no control rows, or a
            value that is not a finite number.
    """
    import numpy as np

    table = to_arrow(frame)
    for name in (columns.metric, columns.variant):
        if name not in table.column_names:
            raise UsageError(
                f"the frame has no column {name!r}",
                allowed=did_you_mean(name, table.column_names),
            )
    present = table.filter(table.column(columns.metric).is_valid())
    if present.column(columns.variant).null_count:
        raise UsageError(
            f"column {columns.variant!r} has rows without an arm",
            found=str(present.column(columns.variant).null_count),
            next_step="remove or repair these rows",
        )
    values = _to_numbers(columns.metric, present.column(columns.metric).to_pylist())
    labels = np.asarray([str(v) for v in present.column(columns.variant).to_pylist()])
    if not np.isfinite(values).all():
        raise UsageError(
            f"column {columns.metric!r} holds NaN or infinite values",
            next_step="remove or repair these rows",
        )
    arms = sorted(set(labels.tolist()))
    if columns.control not in arms:
        raise UsageError(
            f"no row belongs to the control {columns.control!r}",
            where=f"column {columns.variant!r}",
            allowed=did_you_mean(columns.control, arms),
        )
    ordered = [columns.control, *(arm for arm in arms if arm != columns.control)]
    return {
        "" if arm == columns.control else arm: _moments(
            columns.metric, arm, values[labels == arm]
        )
        for arm in ordered
    }


def _to_numbers(name: str, values: list[Any]) -> Any:
    import numpy as np

    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"column {name!r} does not hold numbers", found=str(error)
        ) from error


def to_arrow(frame: Any) -> "pa.Table":
    """A frame as an Arrow table.

    Raises:
        UsageError: an object that is no frame.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    for method in ("to_arrow_table", "to_arrow", "arrow"):
        if hasattr(frame, method):
            found = getattr(frame, method)()
            return found if isinstance(found, pa.Table) else found.read_all()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    if hasattr(frame, "iloc"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    raise UsageError(
        "not a data frame",
        found=type(frame).__name__,
        allowed="pandas, Polars, Arrow or a DuckDB relation",
    )


def _moments(metric: str, arm: str, values: Any) -> MetricTotals:
    n = len(values)
    mean = float(values.mean())
    return MetricTotals(
        "",
        metric,
        arm,
        n,
        mean,
        float(values.var(ddof=1)) if n > 1 else None,
        third_moment=float(((values - mean) ** 3).mean()),
        min_value=float(values.min()),
        max_value=float(values.max()),
    )
