"""The type of a metric whose import names none, read off its values."""

from collections.abc import Collection, Mapping

from exp_platform.errors import UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.import_numbers import readable
from exp_platform.pipelines.import_request import ImportRequest


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
        f"select count({column}) as n_values, count({number}) as n_numbers,\n"
        f"    bool_and({value} in (0, 1)) as is_flag,\n"
        f"    bool_and({value} = floor({value}) and {value} >= 0) as is_count\n"
        f"from exp_run.delivered where {where} and isfinite(coalesce({number}, 0))"
    )[0]
    if not row["n_values"]:
        return "mean", "it has no value at all"
    if not row["n_numbers"]:
        raise UsageError(
            f"metric {name!r} has no number at all",
            allowed="a column of numbers, or of true and false",
            next_step=f"name another column, or write {name}:mean to take it as it is",
        )
    if row["is_flag"]:
        return "proportion", "{} are 0 or 1"
    if row["is_count"]:
        return "count", "{} are whole numbers from 0"
    return "mean", "{} are numbers with fractions or below 0"
