"""SELECTs that turn a delivered file into rows of `exposures` and `outcomes`.

The file stands in the engine as `exp_run.delivered`, its rows numbered.
"""

from datetime import datetime

from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.import_request import ImportRequest


def exposures_sql(experiment_id: str, request: ImportRequest, start: datetime) -> str:
    """Rows of `exposures`, in the order of the file.

    Args:
        experiment_id: the experiment.
        request: the mapping of columns.
        start: instant of exposure of an undated file.
    """
    pairs = ", ".join(f"{text(name)}: {_fact(request, name)}" for name in request.facts)
    attributes = f"map {{{pairs}}}" if pairs else "cast(null as map(varchar, varchar))"
    exposure = _exposure_ts(request, start)
    distinct = "distinct " if request.long is not None else ""
    return (
        f"select {distinct}{text(experiment_id)} as experiment_id,\n"
        f"    {_unit(request)} as user_id,\n"
        f"    cast({identifier(request.variant)} as varchar) as variant,\n"
        f"    {exposure} as exposure_ts, 'user' as unit,\n"
        f"    {attributes} as attributes,\n"
        "    cast(null as timestamptz) as first_seen_ts\n"
        "from exp_run.delivered" + ("" if distinct else " order by __exp_row_number")
    )


def outcomes_sql(
    experiment_id: str, request: ImportRequest, start: datetime, counted: str
) -> str:
    """Rows of `outcomes`; covariates stand a day before the exposure.

    A missing covariate is delivered as missing: ingest sets it aside, and only the
    metric that wanted it knows the unit as one without a past.

    Args:
        experiment_id: the experiment.
        request: the mapping of columns.
        start: instant of exposure of an undated file.
        counted: relation with the delivered rows whose values count.
    """
    head = f"select {text(experiment_id)} as experiment_id, {_unit(request)} as user_id"
    exposure = _exposure_ts(request, start)
    if request.long is not None:
        long = request.long
        sources = dict.fromkeys([*request.metrics, *request.past])
        names = ", ".join(text(name) for name in sources)
        return (
            f"{head}, cast({identifier(long.metric_name)} as varchar) as metric_name,\n"
            f"    {_value(long.value)} as value,\n"
            f"    try_cast({identifier(long.outcome_ts)} as timestamptz) as outcome_ts\n"
            f"from {counted} where {identifier(long.metric_name)} in ({names})\n"
            "order by __exp_row_number"
        )
    branches = [
        f"{head}, {text(name)} as metric_name, {_value(name)} as value,\n"
        f"    {exposure} as outcome_ts, __exp_row_number from {counted}"
        for name in request.metrics
    ]
    branches += [
        f"{head}, {text(column)} as metric_name, {_value(column)} as value,\n"
        f"    {exposure} - interval 1 day as outcome_ts, __exp_row_number\n"
        f"from {counted}"
        for column in request.past
    ]
    union = "\nunion all\n".join(branches)
    return (
        f"select * exclude (__exp_row_number) from ({union})\n"
        "order by metric_name, outcome_ts, __exp_row_number"
    )


def has_key(request: ImportRequest) -> str:
    """SQL condition of rows with a unit and an arm; ingest sets the others aside."""
    named = [name for name in (request.unit, request.variant) if name]
    blank = (f"trim(cast({identifier(name)} as varchar)) <> ''" for name in named)
    return f"coalesce({' and '.join(blank)}, false)"


def _fact(request: ImportRequest, name: str) -> str:
    """The column as text; what is missing of a covariate is no category of its own."""
    value = f"cast({identifier(name)} as varchar)"
    if name not in request.adjust_by:
        return value
    return (
        f"case when upper(trim({value})) not in ('', 'NULL')\n"
        f"        and isfinite(coalesce(try_cast({value} as double), 0)) then {value} end"
    )


def _value(column: str) -> str:
    """The column as it is; flags as 0 and 1. What is no number is ingest's to reject."""
    name = identifier(column)
    as_text = f"cast({name} as varchar)"
    number = f"cast(try_cast({name} as double) as varchar)"
    flag = f"cast(cast(try_cast({as_text} as boolean) as integer) as varchar)"
    return f"coalesce({number}, {flag}, {as_text})"


def _unit(request: ImportRequest) -> str:
    column = identifier(request.unit) if request.unit else "__exp_row_number"
    return f"cast({column} as varchar)"


def _exposure_ts(request: ImportRequest, start: datetime) -> str:
    if request.exposure_ts is not None:
        return f"try_cast({identifier(request.exposure_ts)} as timestamptz)"
    return f"timestamptz '{start.isoformat()}'"
