"""The type of a metric whose import names none, read off its values."""

from collections.abc import Collection, Mapping

from exp_platform.errors import UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.import_numbers import readable
from exp_platform.pipelines.import_request import ImportRequest, LongColumns
from exp_platform.pipelines.import_rows import has_key


def infer_types(
    engine: Engine,
    request: ImportRequest,
    columns: Mapping[str, str],
    texts: Collection[str],
) -> tuple[dict[str, str], list[str]]:
    """Metric -> type, and why, in a sentence for each one that was inferred.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
        columns: column -> type of the file.
        texts: metrics of which some values are no number: the others are judged.

    Raises:
        UsageError: a metric without any number.
    """
    types, notes = {}, []
    for name, declared in request.metrics.items():
        if declared:
            types[name] = declared
            continue
        types[name], why = _infer_type(engine, request, name, columns)
        values = "its readable values" if name in texts else "its values"
        notes.append(f"{name}: {types[name]}, because {why.format(values)}")
    return types, notes


def _infer_type(
    engine: Engine, request: ImportRequest, name: str, columns: Mapping[str, str]
) -> tuple[str, str]:
    """The type and why, `{}` being the values that were judged."""
    column, where, kind = identifier(name), "true", columns.get(name, "")
    if request.long is not None:
        column, kind = identifier(request.long.value), columns[request.long.value]
        where = f"{identifier(request.long.metric_name)} = {text(name)}"
    if kind == "BOOLEAN":
        return "proportion", "{} are true or false"
    number = f"try_cast({column} as double)"
    value = readable(column)
    row = engine.records(
        f"select count({column}) as n_values, count({value}) as n_readable,\n"
        f"    bool_and({value} in (0, 1)) as is_flag,\n"
        f"    bool_and({value} = floor({value}) and {value} >= 0) as is_count\n"
        f"from exp_run.delivered where {where} and isfinite(coalesce({number}, 0))\n"
        f"    and {has_key(request)}"
    )[0]
    if not row["n_values"]:
        return "mean", "it has no value at all"
    if not row["n_readable"]:
        raise UsageError(
            f"metric {name!r} has no number at all",
            allowed="a column of numbers, or of true and false",
            next_step=f"name another column, or write {name}:mean to take it as it is",
        )
    # That a unit received the treatment stays a yes or no, however often it is said.
    if row["is_flag"] and request.long is not None and name != request.received:
        return _judge_flags(engine, request, request.long, name)
    if row["is_flag"]:
        return "proportion", "{} are 0 or 1"
    if row["is_count"]:
        return "count", "{} are whole numbers from 0"
    return "mean", "{} are numbers with fractions or below 0"


def _judge_flags(
    engine: Engine, request: ImportRequest, long: LongColumns, name: str
) -> tuple[str, str]:
    """Rows of 0 and 1: whether something happened, or how often.

    A yes or no is said once per unit. Rows from before exposure are no outcomes, and
    equal rows are one, unless duplicates are kept.
    """
    value = readable(identifier(long.value))
    exposure = f"try_cast({identifier(request.exposure_ts or '')} as timestamptz)"
    outcome = f"try_cast({identifier(long.outcome_ts)} as timestamptz)"
    distinct = "" if request.keep_duplicates else "distinct "
    n_zeros, most, n_units = engine.rows(
        "select coalesce(sum(n_zeros), 0), coalesce(max(n_ones), 0),\n"
        "    count(*) filter (n_ones > 1)\n"
        "from (select unit, count(*) filter (value = 0) as n_zeros,\n"
        "        count(*) filter (value = 1) as n_ones\n"
        f"    from (select {distinct}cast({identifier(request.unit or '')} as varchar)\n"
        f"                as unit, {value} as value, {outcome} as outcome_ts\n"
        f"        from exp_run.delivered\n"
        f"        where {identifier(long.metric_name)} = {text(name)}\n"
        f"            and {outcome} >= {exposure})\n"
        "    where unit is not null group by unit)"
    )[0]
    are = "{} are 0 or 1" if n_zeros or not most else "{} are all 1"
    if most > 1:
        have = "1 unit has" if n_units == 1 else f"{n_units:,} units have"
        return "count", f"{are} and add up: {have} up to {most:,} rows of 1"
    return "proportion", f"{are}, and no unit has more than one row of 1"
