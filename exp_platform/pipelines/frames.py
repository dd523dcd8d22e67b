"""Columns of any data frame: pandas, Polars, Arrow or a DuckDB relation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.stats.inference import Array

if TYPE_CHECKING:
    import pyarrow as pa

_NAMELESS = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """What the columns of a frame with one row per unit mean.

    Attributes:
        metric: the unit's value.
        variant: its arm; `control` is the arm that the others are compared with.
        numbers: further columns without which a row is left out, as a denominator.
        covariates: columns with numbers that may be null.
        labels: columns with names, as a cluster; never null.
    """

    metric: str
    variant: str
    control: str
    numbers: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArmUnits:
    """The units of one arm, arrays of shape (n_units,).

    Attributes:
        numbers: further columns by name; NaN where a covariate is null.
        labels: names by column.
        n_missing: rows of the arm that were left out for want of a value.
        nulls: how many of the arm's rows are null in each needed column.
    """

    variant: str
    values: Array
    numbers: Mapping[str, Array]
    labels: Mapping[str, NDArray[np.str_]]
    n_missing: int = 0
    nulls: Mapping[str, int] = field(default_factory=dict)


def read_units(frame: Any, columns: UnitColumns) -> tuple[ArmUnits, ...]:
    """The units of every arm, control first and the others by name.

    Rows whose metric, or another needed number, is null are left out and counted.

    Args:
        frame: one row per unit.
        columns: which columns, and which arm is control.

    Raises:
        UsageError: not a frame, a column that is not there, no control rows, a value
            that is not a finite number, or a row without a name.
    """
    table = to_arrow(frame)
    needed = {n: read_numbers(table, n) for n in (columns.metric, *columns.numbers)}
    is_present = ~np.any([np.isnan(values) for values in needed.values()], axis=0)
    numbers = {**needed, **{n: read_numbers(table, n) for n in columns.covariates}}
    labels = {n: read_labels(table, n) for n in (columns.variant, *columns.labels)}
    variants = labels[columns.variant]
    return tuple(
        ArmUnits(
            variant,
            needed[columns.metric][inside],
            {name: values[inside] for name, values in numbers.items()},
            {name: names[inside] for name, names in labels.items()},
            int(np.count_nonzero(mine) - inside.sum()),
            {name: int(np.isnan(v[mine]).sum()) for name, v in needed.items()},
        )
        for variant in _order_arms(variants, is_present, columns)
        for mine in [variants == variant]
        for inside in [mine & is_present]
    )


def _order_arms(
    variants: NDArray[np.str_], is_present: NDArray[np.bool_], columns: UnitColumns
) -> list[str]:
    arms = sorted(set(variants[is_present].tolist()))
    empty = sorted(set(variants.tolist()) - set(arms))
    if empty:
        nobody = columns.control if columns.control in empty else empty[0]
        raise UsageError(
            f"no row of the arm {nobody!r} has a value",
            where=f"column {columns.metric!r}",
            next_step="remove the arm's rows, or look for its values",
        )
    if columns.control not in arms:
        raise UsageError(
            f"no row belongs to the control {columns.control!r}",
            where=f"column {columns.variant!r}",
            allowed=did_you_mean(columns.control, arms)
            if arms
            else "a frame with rows",
        )
    if len(arms) == 1:
        raise UsageError(
            "two arms are needed",
            where=f"column {columns.variant!r}",
            found=f"only {columns.control!r}",
        )
    return [columns.control, *(arm for arm in arms if arm != columns.control)]


def read_numbers(table: "pa.Table", name: str) -> Array:
    """A column as floats, NaN where it is null.

    Args:
        table: from `to_arrow`.
        name: of the column.

    Raises:
        UsageError: no such column, or values that are not finite numbers.
    """
    import pyarrow as pa

    column = _find(table, name)
    kinds = ("integer", "floating", "decimal", "boolean", "null")
    if not any(getattr(pa.types, f"is_{kind}")(column.type) for kind in kinds):
        raise UsageError(
            f"column {name!r} does not hold numbers",
            found=str(column.type),
            allowed="integers, floats, decimals or booleans",
            next_step="convert the column",
        )
    values: Array = column.cast(pa.float64(), safe=False).to_numpy()
    is_known = column.is_valid().to_numpy()
    if not np.isfinite(values[is_known]).all():
        raise UsageError(
            f"column {name!r} holds NaN or infinite values",
            next_step="remove or repair these rows",
        )
    return values


def read_labels(table: "pa.Table", name: str) -> NDArray[np.str_]:
    """A column as text.

    Args:
        table: from `to_arrow`.
        name: of the column.

    Raises:
        UsageError: no such column, or rows without a value.
    """
    import pyarrow as pa

    column = _find(table, name)
    if column.null_count:
        raise UsageError(
            f"column {name!r} has rows without a value",
            found=str(column.null_count),
            next_step="remove or repair these rows",
        )
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    known = np.array([str(v) for v in encoded.dictionary.to_pylist()], dtype=str)
    found: NDArray[np.str_] = known[encoded.indices.to_numpy()]
    return found


def _find(table: "pa.Table", name: str) -> Any:
    if table.column_names.count(name) != 1:
        raise UsageError(
            f"the frame has no column {name!r}"
            if name not in table.column_names
            else f"the frame has several columns {name!r}",
            allowed=did_you_mean(name, table.column_names),
        )
    return table.column(name)


def to_arrow(frame: Any) -> "pa.Table":
    """A frame as an Arrow table.

    Raises:
        UsageError: an object that is no frame, or one that Arrow cannot hold.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    _refuse_twins(frame)
    try:
        found = _convert(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageError(
            "a column of the frame holds values of several kinds",
            found=str(error),
            next_step="give the column one type, or leave it out",
        ) from error
    except (pa.ArrowNotImplementedError, OverflowError, TypeError) as error:
        raise UsageError(
            "a column of the frame has a type that is no number, text or date",
            found=str(error),
            allowed="numbers of up to 64 bits, true and false, text or dates",
            next_step="convert the column, or leave it out",
        ) from error
    if found is None:
        raise UsageError(
            "not a data frame",
            found=type(frame).__name__,
            allowed="pandas, Polars, Arrow or a DuckDB relation",
        )
    return found


def _refuse_twins(frame: Any) -> None:
    """Only pandas lets two columns have one name, and then cannot convert them."""
    if not hasattr(frame, "iloc") or not hasattr(frame, "columns"):
        return
    names = list(frame.columns)
    twins = [str(name) for name in names if names.count(name) > 1]
    if twins:
        raise UsageError(
            f"the frame has several columns {twins[0]!r}",
            next_step="rename or drop all but one",
        )


def _convert(frame: Any) -> "pa.Table | None":
    import pyarrow as pa

    for method in ("to_arrow_table", "to_arrow", "arrow"):
        if hasattr(frame, method):
            found = getattr(frame, method)()
            return found if isinstance(found, pa.Table) else found.read_all()
    if hasattr(frame, "iloc"):
        frame = _name_periods(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        found = pa.table(frame)
    elif hasattr(frame, "iloc"):
        found = pa.Table.from_pandas(frame)
    else:
        return None
    # What pandas calls the levels of an index that have no name of their own.
    nameless = [name for name in found.column_names if _NAMELESS.fullmatch(name)]
    return found.drop_columns(nameless)


def _name_periods(frame: Any) -> Any:
    """Pandas' periods as text: Arrow would keep their number since 1970 alone."""
    texts = {
        name: frame[name].astype(str).where(frame[name].notna())
        for name in getattr(frame, "columns", ())
        if str(frame[name].dtype).startswith("period[")
    }
    return frame.assign(**texts) if texts else frame
