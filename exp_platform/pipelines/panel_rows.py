"""Units, periods and cohorts of a delivered panel, as relations of the engine.

The file stands in the engine as `exp_run.delivered`, its rows numbered.
"""

from pathlib import Path

from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.import_rows import ROW_NUMBER
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.periods import Periods, read_periods

_MOST_PERIODS = 2_000
_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def _label(column: str) -> str:
    """A period as text; whole numbers without a fraction, whatever their type."""
    name = identifier(column)
    number = f"try_cast({name} as double)"
    whole = f"{number} = floor({number}) and abs({number}) < 1e15"
    return (
        f"trim(case when {whole} then cast(cast({number} as bigint) as varchar)\n"
        f"    else cast({name} as varchar) end)"
    )


def number_periods(engine: Engine, request: PanelRequest, file: Path) -> Periods:
    """Leave the panel's periods, in order, as `exp_run.panel_periods`.

    Raises:
        UsageError: labels that cannot be read, or fewer than two.
    """
    label = _label(request.time)
    rows = engine.rows(
        f"select distinct {label} from exp_run.delivered where {label} <> ''\n"
        f"order by 1 limit {_MOST_PERIODS + 1}"
    )
    where = f"{file}, column {request.time!r}"
    if not 2 <= len(rows) <= _MOST_PERIODS:
        raise UsageError(
            "a panel needs periods before and after treatment",
            where=where,
            found=f"{len(rows)} different values",
            allowed=f"2 to {_MOST_PERIODS:,} periods",
            next_step="check --time",
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
    return periods


def build_rows(engine: Engine, request: PanelRequest, file: Path) -> bool:
    """Leave one row per delivered row as `exp_run.panel_rows`.

    Returns:
        Whether rows are repeated cross-sections: no unit is seen twice.

    Raises:
        ContractError: no usable row, a unit with several rows in one period, or a
            weight that is not above 0.
    """
    named = [
        request.unit is not None and f"cast({identifier(request.unit)} as varchar)"
    ]
    unit = named[0] or f"cast({ROW_NUMBER} as varchar)"
    group = request.cohort or request.treated
    treated = _label(group) if group else "null"
    cluster = (
        f"cast({identifier(request.cluster)} as varchar)" if request.cluster else unit
    )
    weight = _number(request.weight) if request.weight else "1.0"
    covariates = "".join(
        f",\n    {_number(column)} as x{i}"
        for i, column in enumerate(request.covariates)
    )
    engine.execute(
        "create or replace table exp_run.panel_rows as\n"
        f"select d.{ROW_NUMBER} as row_no, {unit} as unit, p.period_no,\n"
        f"    {treated} as treated_label, {cluster} as cluster,\n"
        f"    {weight} as weight{covariates}\n"
        "from exp_run.delivered as d left join exp_run.panel_periods as p\n"
        f"    on p.label = {_label(request.time)}"
    )
    if request.weight is not None and _count_where(
        engine, "not coalesce(weight > 0, false)"
    ):
        raise ContractError(
            "a weight is missing or not above 0",
            where=f"{file}, column {request.weight!r}",
            next_step="correct the column, or leave --weight out",
        )
    most, repeated = engine.rows(
        "select max(n_periods), max(n_rows) from (select unit, count(*) as n_rows,\n"
        "    count(distinct period_no) as n_periods from exp_run.panel_rows\n"
        "    where unit is not null and period_no is not null group by unit)"
    )[0]
    if repeated is None:
        raise ContractError("no row has a unit and a period", where=str(file))
    if request.unit is None or (most == 1 and repeated == 1):
        return True
    twice = engine.rows(
        "select r.unit, p.label, count(*) from exp_run.panel_rows as r\n"
        "inner join exp_run.panel_periods as p on r.period_no = p.period_no\n"
        "group by all having count(*) > 1 order by 1, 2 limit 1"
    )
    if twice:
        raise ContractError(
            "a unit has several rows in one period",
            where=str(file),
            found=f"unit {twice[0][0]}, period {twice[0][1]}: {twice[0][2]} rows",
            allowed="one row per unit and period",
            next_step="name the right --unit, or add the rows up before the import",
        )
    return False


def _number(column: str) -> str:
    return f"try_cast({identifier(column)} as double)"


def place_cohorts(
    engine: Engine, request: PanelRequest, periods: Periods, file: Path
) -> list[str]:
    """Give every row of `exp_run.panel_rows` the number of its first treated period.

    Returns:
        Sentences about how treatment was read.

    Raises:
        UsageError: a value that says nothing, or nobody becomes treated.
        ContractError: treatment that is switched off again.
    """
    rows = engine.rows(
        "select distinct treated_label from exp_run.panel_rows order by 1"
    )
    labels = [None if row[0] is None else str(row[0]) for row in rows]
    if request.cohort is not None:
        numbers = {label: periods.place(label) for label in labels}
        notes = [f"treated from column {request.cohort!r}"]
    elif request.policy_date is None:
        numbers, notes = _flag_rows(engine, labels, request, file)
    else:
        numbers, notes = _flag_groups(labels, request, periods, file)
    if not any(number is not None and number > 0 for number in numbers.values()):
        raise UsageError(
            "no unit becomes treated within the panel's periods",
            where=str(file),
            found=f"periods {periods.labels[0]} to {periods.labels[-1]}",
            next_step="check --cohort, or --treated and --policy-date",
        )
    values = ", ".join(
        f"({'null' if label is None else text(label)}, {_or_null(number)})"
        for label, number in numbers.items()
    )
    engine.execute(
        "create or replace table exp_run.panel_cohorts as\n"
        "select cast(label as varchar) as label, cast(cohort_no as bigint) as cohort_no\n"
        f"from (values {values}) as c (label, cohort_no)"
    )
    engine.execute(
        "create or replace table exp_run.panel_rows as\n"
        "select r.*, c.cohort_no from exp_run.panel_rows as r\n"
        "left join exp_run.panel_cohorts as c\n"
        "    on r.treated_label is not distinct from c.label"
    )
    return notes


def _or_null(number: int | None) -> str:
    return "null" if number is None else str(number)


def _flag_groups(
    labels: list[str | None], request: PanelRequest, periods: Periods, file: Path
) -> tuple[dict[str | None, int | None], list[str]]:
    """All treated units from the policy date on."""
    date = request.policy_date or ""
    number = periods.place(date)
    if not number:
        raise UsageError(
            "the policy date leaves no period before it or none after it",
            found=date,
            allowed=f"later than {periods.labels[0]}, up to {periods.labels[-1]}",
            next_step="correct --policy-date",
        )
    flags = {label: _is_flagged(label, request, labels, file) for label in labels}
    notes = [f"treated from period {periods.labels[number]} on"]
    if periods.read(date) not in periods.starts:
        notes[0] += f", the first that begins at or after {date}"
    return {label: number if flag else None for label, flag in flags.items()}, notes


def _is_flagged(
    label: str | None, request: PanelRequest, labels: list[str | None], file: Path
) -> bool:
    if label is None:
        return False
    named = request.treated_value or request.untreated
    if named is not None and named not in labels:
        raise UsageError(
            f"no row has the value {named!r} in {request.treated!r}",
            where=str(file),
            allowed=did_you_mean(named, [value for value in labels if value]),
        )
    if named is not None:
        return (label == named) == (request.treated_value is not None)
    flag = _FLAGS.get(label.lower())
    if flag is None:
        raise UsageError(
            f"column {request.treated!r} does not say who was treated",
            where=str(file),
            found=repr(label),
            allowed="0 and 1, true and false; or --treated COL=VALUE",
        )
    return flag


def _flag_rows(
    engine: Engine, labels: list[str | None], request: PanelRequest, file: Path
) -> tuple[dict[str | None, int | None], list[str]]:
    """A flag per row says when each unit's treatment began; it must then stay on."""
    if request.unit is None:
        raise UsageError(
            "without units, a flag per row does not say whose treatment began",
            where=f"--treated {request.treated}",
            next_step="name --policy-date, or --unit",
        )
    flags = {label: _is_flagged(label, request, labels, file) for label in labels}
    on = ", ".join(text(label) for label, flag in flags.items() if flag and label)
    if not on:
        return dict.fromkeys(labels), []
    engine.execute(
        "create or replace table exp_run.panel_rows as\n"
        "select * exclude (treated_label, is_on), case when bool_or(is_on) over units\n"
        "    then cast(min(period_no) filter (where is_on) over units as varchar) end\n"
        "    as treated_label, is_on\n"
        f"from (select *, coalesce(treated_label in ({on}), false) as is_on\n"
        "    from exp_run.panel_rows) window units as (partition by unit)"
    )
    broken = engine.rows(
        "select unit from exp_run.panel_rows where not is_on\n"
        "    and period_no > try_cast(treated_label as bigint) order by 1 limit 1"
    )
    if broken:
        raise ContractError(
            "treatment is switched off again",
            where=f"{file}, column {request.treated!r}",
            found=f"unit {broken[0][0]}",
            allowed="a unit that stays treated once it is",
            next_step="leave such units out, or name --policy-date for a group",
        )
    engine.execute("alter table exp_run.panel_rows drop column is_on")
    found = engine.rows("select distinct treated_label from exp_run.panel_rows")
    numbers = {
        None if row[0] is None else str(row[0]): None if row[0] is None else int(row[0])
        for row in found
    }
    return numbers, [f"treated from the first period flagged in {request.treated!r}"]


def check_units(engine: Engine, request: PanelRequest, file: Path) -> None:
    """Refuse units whose cohort or cluster changes.

    Raises:
        ContractError: there is one.
    """
    flags = {"cohort_no": request.cohort or request.treated, "cluster": request.cluster}
    for column, delivered in flags.items():
        found = engine.rows(
            f"select unit from exp_run.panel_rows where unit is not null group by unit\n"
            f"having count(distinct coalesce(cast({column} as varchar), '')) > 1\n"
            "order by unit limit 1"
        )
        if found:
            raise ContractError(
                f"column {delivered!r} changes within a unit",
                where=str(file),
                found=f"unit {found[0][0]}",
                allowed="one value in all rows of a unit",
                next_step="correct the column, or name the unit that was assigned",
            )


def build_units(engine: Engine, request: PanelRequest) -> None:
    """Leave one row per unit as `exp_run.panel_units`, facts from its first period."""
    columns = ["cohort_no", "cluster", "weight"]
    columns += [f"x{i}" for i in range(len(request.covariates))]
    facts = ", ".join(f"arg_min({c}, period_no) as {c}" for c in columns)
    engine.execute(
        "create or replace table exp_run.panel_units as\n"
        f"select unit, {facts}, min(row_no) as row_no from exp_run.panel_rows\n"
        "where unit is not null and period_no is not null group by unit"
    )


def count_changing(engine: Engine, request: PanelRequest) -> dict[str, int]:
    """Units whose weight or covariate changes over time, by column, where any does."""
    columns = {f"x{i}": name for i, name in enumerate(request.covariates)}
    if request.weight is not None:
        columns["weight"] = request.weight
    found = {
        name: int(
            engine.rows(
                "select count(*) from (select unit from exp_run.panel_rows\n"
                f"    group by unit having count(distinct {column}) > 1)"
            )[0][0]
        )
        for column, name in columns.items()
    }
    return {name: count for name, count in found.items() if count}


def _count_where(engine: Engine, condition: str) -> int:
    sql = f"select count(*) from exp_run.panel_rows where {condition}"
    return int(engine.rows(sql)[0][0])
