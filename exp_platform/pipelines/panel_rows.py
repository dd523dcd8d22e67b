"""Periods and units of a delivered panel, as relations of the engine.

The file stands in the engine as `exp_run.delivered`. Its rows are read once for their
periods and treatments, `exp_run.panel_profile`, and once for the units; what must be
constant within a unit is checked on the units.
"""

from pathlib import Path

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.delivered_file import ROW_NUMBER
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.periods import Periods, read_periods

_MOST_PERIODS = 2_000
_BITS = 62
"""Periods that one whole number remembers, a bit each."""


def label_of(column: str) -> str:
    """SQL of a value as text; whole numbers without a fraction, whatever their type.

    Args:
        column: quoted.
    """
    number = f"try_cast({column} as double)"
    whole = f"{number} = floor({number}) and abs({number}) < 1e15"
    return (
        f"trim(case when {whole} then cast(cast({number} as bigint) as varchar)\n"
        f"    else cast({column} as varchar) end)"
    )


def number_periods(engine: Engine, request: PanelRequest, file: Path) -> Periods:
    """Leave the panel's periods, in order, as `exp_run.panel_periods`.

    `exp_run.panel_times` has the number of the period of every delivered value,
    `exp_run.panel_profile` the rows by period and treatment as they were delivered.

    Raises:
        UsageError: labels that cannot be read, or fewer than two.
    """
    _profile_rows(engine, request)
    engine.execute(
        "create or replace table exp_run.panel_times as\n"
        f"select value, {label_of('value')} as label\n"
        "from (select distinct time_value as value from exp_run.panel_profile)"
    )
    rows = engine.rows(
        "select distinct label from exp_run.panel_times where label <> ''\n"
        f"order by 1 limit {_MOST_PERIODS + 1}"
    )
    where = f"{request.option('time', request.time)}, {file}"
    if not 2 <= len(rows) <= _MOST_PERIODS:
        raise UsageError(
            "a panel needs periods before and after treatment",
            where=where,
            found=f"{len(rows)} different values",
            allowed=f"2 to {_MOST_PERIODS:,} periods",
            next_step=f"check {request.option('time')}",
        )
    periods = read_periods([str(row[0]) for row in rows], where)
    values = ",\n".join(
        f"({text(label)}, {number}, timestamptz '{start.isoformat()}')"
        for number, (label, start) in enumerate(
            zip(periods.labels, periods.starts, strict=True)
        )
    )
    engine.execute(
        "create or replace table exp_run.panel_periods as select * from (values\n"
        f"{values}) as p (label, period_no, start_ts)"
    )
    _place_times(engine, periods)
    return periods


def _place_times(engine: Engine, periods: Periods) -> None:
    """The period of every delivered value: one may be written in several ways."""
    names = ", ".join(f"({text(n)}, {number})" for n, number in periods.numbers.items())
    engine.execute(
        "create or replace table exp_run.panel_times as\n"
        "select t.value, p.period_no, p.start_ts from exp_run.panel_times as t\n"
        f"inner join (values {names}) as n (label, period_no) on t.label = n.label\n"
        "inner join exp_run.panel_periods as p on n.period_no = p.period_no"
    )


def _profile_rows(engine: Engine, request: PanelRequest) -> None:
    """Leave `exp_run.panel_profile`: rows by period and treatment, as delivered.

    Its columns: time_value, group_value, the number of rows, `n_all`, of those that name
    a unit, `n_rows`, and the exclusive or of all rows' hashes, `mark`. The hash of several columns is
    hashed again: it is so simple that units which swap their values could leave the
    mark as it was.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
    """
    named = (request.unit, request.cluster, *request.covariates, request.weight)
    columns = [identifier(name) for name in named if name]
    row = f"hash({', '.join(columns)})"
    group = identifier(request.cohort or request.treated or "")
    sums = "count(*) as n_rows, 0 as mark"
    if request.unit is not None:
        mark = row if len(columns) == 1 else f"hash({row})"
        sums = f"count({columns[0]}) as n_rows, bit_xor({mark}) as mark"
    engine.execute(
        "create or replace table exp_run.panel_profile as\n"
        f"select {identifier(request.time)} as time_value, {group} as group_value,\n"
        f"    count(*) as n_all, {sums}\nfrom exp_run.delivered group by 1, 2"
    )


def unit_of(request: PanelRequest) -> str:
    """SQL of a delivered row's unit, in the type it came in."""
    return identifier(request.unit) if request.unit else ROW_NUMBER


def build_units(
    engine: Engine,
    request: PanelRequest,
    file: Path,
    *,
    n_periods: int,
    is_ordered: bool,
) -> bool:
    """Leave one row per unit as `exp_run.panel_units`.

    Its cohort is that of `exp_run.panel_treatments`; weight and covariates are those of
    its first period that has them, covariates only from before its treatment.

    Args:
        engine: after `number_periods` and `place_treatments`.
        request: the mapping of columns.
        file: for errors.
        n_periods: of the panel.
        is_ordered: keep the number of each unit's first row as `row_no`.

    Returns:
        Whether rows are repeated cross-sections: no unit is seen twice.

    Raises:
        UsageError: nobody becomes treated.
        ContractError: no usable row, a unit with several rows in one period, a weight
            that is not above 0, or a cohort or cluster that changes within a unit.
    """
    if is_ordered or not _repeats_units(engine, request, n_periods):
        engine.execute(_units_sql(request, n_periods, is_ordered=is_ordered))
    most = engine.rows("select max(n_rows) from exp_run.panel_units")[0][0]
    if most is None:
        raise ContractError("no row has a unit and a period", where=str(file))
    _check_units(engine, request, file)
    treated = "select count(*) from exp_run.panel_units where cohort_no > 0"
    if not engine.rows(treated)[0][0]:
        labels = engine.rows(
            "select arg_min(label, period_no), arg_max(label, period_no)\n"
            "from exp_run.panel_periods"
        )[0]
        raise UsageError(
            "no unit becomes treated within the panel's periods",
            where=str(file),
            found=f"periods {labels[0]} to {labels[1]}",
            next_step="check "
            + request.option("cohort" if request.cohort else "treated")
            + (f" and {request.option('policy-date')}" if request.policy_date else ""),
        )
    is_cross_section = request.unit is None or most == 1
    if is_cross_section and request.treated and request.policy_date is None:
        raise UsageError(
            "where no unit is seen twice, a flag per row does not say whose treatment "
            "began",
            where=f"{file}, {request.option('treated', request.treated)}",
            next_step=f"name {request.option('policy-date')}, or the unit that is seen "
            f"in several periods as {request.option('unit')}",
        )
    return is_cross_section


def _repeats_units(engine: Engine, request: PanelRequest, n_periods: int) -> bool:
    """Has every period the same units, once each, and says the same of them?

    The rows of the first period then stand for all, as `exp_run.panel_units`. Hashes
    are compared, which is much cheaper than to group the rows by unit: where the first
    period names no unit twice, another with as many rows and the same mark cannot
    either.
    """
    if request.unit is None:
        return False
    periods = engine.rows(
        "select sum(n_rows), bit_xor(hash(hash(group_value, n_rows, mark)))\n"
        "from (select t.period_no, d.group_value, sum(d.n_rows) as n_rows,\n"
        "        bit_xor(d.mark) as mark\n"
        "    from exp_run.panel_profile as d inner join exp_run.panel_times as t\n"
        "        on d.time_value = t.value\n"
        "    group by 1, 2)\n"
        "group by period_no"
    )
    if len(set(periods)) > 1:
        return False
    engine.execute(_first_units_sql(request, n_periods))
    is_once = "select count(distinct unit) = count(*) from exp_run.panel_units"
    return bool(engine.rows(is_once)[0][0])


def _first_units_sql(request: PanelRequest, n_periods: int) -> str:
    """The units of the first period, whose rows stand for those of all others."""
    facts = ["cohort_no"]
    if request.cohort is None and request.policy_date is None:
        facts = ["case when is_on then period_no end as cohort_no"]
    facts.append("unit as cluster" if request.cluster is None else "cluster")
    weight = "1.0" if request.weight is None else "weight"
    facts.append(f"{weight} as weight")
    positive = f"{weight} > 0 and isfinite({weight})"
    facts.append(f"coalesce({positive}, false) as is_weight_positive")
    names = [f"x{i}" for i in range(len(request.covariates))]
    changes = ("cohort", "cluster", "weight", *names)
    facts += [*names, *(f"false as {name}_changes" for name in changes)]
    # The value of the period itself: parts of a file without it are not read.
    first = "select value from exp_run.panel_times where period_no = 0"
    return (
        "create or replace table exp_run.panel_units as\n"
        f"select unit, {n_periods} as n_rows, {n_periods} as n_periods,\n"
        f"    {', '.join(facts)}\n"
        f"from ({_rows_sql(request)}\n"
        f"        and d.{identifier(request.time)} in ({first}))"
    )


def _units_sql(request: PanelRequest, n_periods: int, *, is_ordered: bool) -> str:
    facts = [_cohort(request)]
    cluster = "unit as cluster, false as cluster_changes"
    if request.cluster is not None:
        cluster = f"min(cluster) as cluster, {_changes('cluster')}"
    facts.append(cluster)
    facts.append("1.0 as weight, true as is_weight_positive, false as weight_changes")
    if request.weight is not None:
        positive = "bool_and(coalesce(weight > 0 and isfinite(weight), false)) as is_weight_positive"
        facts[-1] = f"{_first('weight')}, {positive}"
    facts += [_first_before(f"x{i}") for i in range(len(request.covariates))]
    if is_ordered:
        facts.append("min(row_no) as row_no")
    return (
        "create or replace table exp_run.panel_units as\n"
        f"select unit, count(*) as n_rows, {_count_periods(n_periods)} as n_periods,\n"
        f"    {(',' + chr(10) + '    ').join(facts)}\n"
        f"from ({_rows_sql(request, is_ordered=is_ordered)})\n"
        "group by unit"
    )


def _rows_sql(request: PanelRequest, *, is_ordered: bool = False) -> str:
    """Delivered rows that name a unit and a period, with what they say of the unit."""
    unit, group = unit_of(request), request.cohort or request.treated or ""
    columns = {f"x{i}": name for i, name in enumerate(request.covariates)}
    if request.weight is not None:
        columns["weight"] = request.weight
    facts = "".join(
        f",\n        try_cast(d.{identifier(column)} as double) as {name}"
        for name, column in columns.items()
    )
    if request.cluster is not None:
        facts += f",\n        d.{identifier(request.cluster)} as cluster"
    if is_ordered:
        facts += f",\n        d.{ROW_NUMBER} as row_no"
    return (
        f"select d.{unit} as unit, t.period_no, c.cohort_no, c.is_on{facts}\n"
        "    from exp_run.delivered as d\n"
        f"    inner join exp_run.panel_times as t on d.{identifier(request.time)} = t.value\n"
        "    left join exp_run.panel_treatments as c\n"
        f"        on d.{identifier(group)} is not distinct from c.value\n"
        f"    where d.{unit} is not null"
    )


def _cohort(request: PanelRequest) -> str:
    if request.cohort is not None or request.policy_date is not None:
        return f"min(cohort_no) as cohort_no, {_changes('cohort_no', 'cohort')}"
    first_on = "min(period_no) filter (where is_on)"
    last_off = "max(period_no) filter (where not coalesce(is_on, false))"
    return (
        f"{first_on} as cohort_no,\n"
        f"    coalesce({last_off} > {first_on}, false) as cohort_changes"
    )


def _first_before(column: str) -> str:
    """The same from before a unit's treatment; of a unit of one row, that row's value."""
    before = "not coalesce(is_on, false) and coalesce(period_no < cohort_no, true)"
    return (
        f"coalesce(arg_min({column}, period_no) filter (where period_no = 0 or {before}),\n"
        f"        case when count(*) = 1 then min({column}) end) as {column},\n"
        f"    {_differs(column)}"
    )


def _first(column: str) -> str:
    """The value of a unit's first period, and whether later ones differ."""
    return f"arg_min({column}, period_no) as {column},\n    {_differs(column)}"


def _differs(column: str) -> str:
    return f"coalesce(min({column}) <> max({column}), false) as {column}_changes"


def _changes(column: str, name: str = "") -> str:
    """Whether a unit's rows differ, or only some have a value."""
    return (
        f"count({column}) not in (0, count(*))\n"
        f"        or coalesce(min({column}) <> max({column}), false)"
        f" as {name or column}_changes"
    )


def _count_periods(n_periods: int) -> str:
    """Different periods of a unit: a bit for each, which adding twice does not change."""
    words = [
        f"bit_count(bit_or(case when period_no between {first} and {first + _BITS - 1}\n"
        f"        then cast(1 as bigint) << cast(period_no - {first} as bigint) else 0 end))"
        for first in range(0, n_periods, _BITS)
    ]
    return " + ".join(f"cast({word} as bigint)" for word in words)


def _check_units(engine: Engine, request: PanelRequest, file: Path) -> None:
    allowed = "one value in all rows of a unit"
    if _find(engine, "not is_weight_positive") is not None:
        raise ContractError(
            "a weight is missing, infinite or not above 0",
            where=f"{file}, column {request.weight!r}",
            next_step=f"correct the column, or leave {request.option('weight')} out",
        )
    most = engine.rows("select max(n_rows) from exp_run.panel_units")[0][0]
    if most > 1 and (twice := _find(engine, "n_rows > n_periods")) is not None:
        raise ContractError(
            "a unit has several rows in one period",
            where=str(file),
            found=f"unit {twice}, {_find_period(engine, request, twice)}",
            allowed="one row per unit and period",
            next_step=f"name the right {request.option('unit')}, or add the rows up first",
        )
    flagged = request.treated is not None and request.policy_date is None
    if (unit := _find(engine, "cohort_changes")) is not None:
        if flagged:
            raise ContractError(
                "treatment is switched off again",
                where=f"{file}, column {request.treated!r}",
                found=f"unit {unit}",
                allowed="a unit that stays treated once it is",
                next_step="leave such units out, or name "
                f"{request.option('policy-date')} for a group",
            )
        raise ContractError(
            f"column {(request.cohort or request.treated)!r} changes within a unit",
            where=str(file),
            found=f"unit {unit}",
            allowed=allowed,
            next_step="correct the column, or name the unit that was assigned",
        )
    if request.cluster is not None:
        _require_clusters(engine, request, file)
    if (unit := _find(engine, "cluster_changes")) is not None:
        raise ContractError(
            f"column {request.cluster!r} changes within a unit",
            where=str(file),
            found=f"unit {unit}",
            allowed=allowed,
            next_step="correct the column, or name the unit that was assigned",
        )


def _require_clusters(engine: Engine, request: PanelRequest, file: Path) -> None:
    """A unit of no cluster would be one of its own, finer than what was assigned."""
    condition = "cluster is null and not cluster_changes"
    unit = _find(engine, condition)
    if unit is None:
        return
    ((count,),) = engine.rows(
        f"select count(*) from exp_run.panel_units where {condition}"
    )
    raise ContractError(
        "a unit has no cluster",
        where=f"{file}, column {request.cluster!r}",
        found=f"null in {count:,} units, e.g. unit {unit}",
        allowed="a cluster for every unit",
        next_step="fill the column in, or leave these units out",
    )


def _find(engine: Engine, condition: str) -> str | None:
    """The first unit by label for which something holds."""
    found = engine.rows(
        f"select min(cast(unit as varchar)) from exp_run.panel_units\nwhere {condition}"
    )[0][0]
    return None if found is None else str(found)


def _find_period(engine: Engine, request: PanelRequest, unit: str) -> str:
    """The first period in which a unit has several rows, and how many."""
    label, count = engine.rows(
        "select p.label, count(*) from exp_run.delivered as d\n"
        f"inner join exp_run.panel_times as t on d.{identifier(request.time)} = t.value\n"
        "inner join exp_run.panel_periods as p on t.period_no = p.period_no\n"
        f"where cast(d.{unit_of(request)} as varchar) = {text(unit)}\n"
        "group by all having count(*) > 1 order by 1 limit 1"
    )[0]
    return f"period {label}: {count} rows"


def count_unplaced(engine: Engine) -> int:
    """Delivered rows that name no unit or no period.

    Args:
        engine: after `number_periods`.
    """
    found = engine.rows(
        "select sum(d.n_all - if(t.period_no is null, 0, d.n_rows))\n"
        "from exp_run.panel_profile as d left join exp_run.panel_times as t\n"
        "    on d.time_value = t.value"
    )
    return int(found[0][0])


def count_unknown(engine: Engine, request: PanelRequest) -> dict[str, int]:
    """Units without a finite covariate, by column, where there are any."""
    found = {
        name: int(
            engine.rows(
                "select count(*) from exp_run.panel_units\n"
                f"where not coalesce(isfinite(x{i}), false)"
            )[0][0]
        )
        for i, name in enumerate(request.covariates)
    }
    return {name: count for name, count in found.items() if count}


def count_changing(engine: Engine, request: PanelRequest) -> dict[str, int]:
    """Units whose weight or covariate changes over time, by column, where any does."""
    columns = {f"x{i}": name for i, name in enumerate(request.covariates)}
    if request.weight is not None:
        columns["weight"] = request.weight
    found = {
        name: int(
            engine.rows(
                f"select count(*) from exp_run.panel_units where {column}_changes"
            )[0][0]
        )
        for column, name in columns.items()
    }
    return {name: count for name, count in found.items() if count}
