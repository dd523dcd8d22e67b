"""Who was treated, and from which period on: every value a file says it with."""

import re
from pathlib import Path

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.panel_rows import label_of, unit_of
from exp_platform.pipelines.periods import NEVER, Periods

_MOST_NAMES = 5
"""Units that an error names."""

_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def place_treatments(
    engine: Engine, request: PanelRequest, periods: Periods, file: Path
) -> list[str]:
    """Leave what each delivered value means as `exp_run.panel_treatments`.

    Its columns: value, cohort_no (number of the first treated period; null = never) and
    is_on (this very row is under treatment), of which a request needs one.

    Returns:
        Sentences about how treatment was read.

    Raises:
        UsageError: a value that says nothing, or that may say two things.
    """
    if request.treated is not None:
        _require_flags(engine, request, file)
    engine.execute(
        "create or replace table exp_run.panel_treatments as\n"
        f"select value, {label_of('value')} as label\n"
        "from (select distinct group_value as value from exp_run.panel_profile)"
    )
    rows = engine.rows("select distinct label from exp_run.panel_treatments order by 1")
    labels = [None if row[0] is None else str(row[0]) for row in rows]
    numbers: dict[str | None, int | None] = dict.fromkeys(labels)
    flags: dict[str | None, bool] = dict.fromkeys(labels, False)
    if request.cohort is not None:
        where = f"{file}, column {request.cohort!r}"
        _refuse_zero(labels, request, periods, where)
        numbers = {label: periods.place(label, where) for label in labels}
        notes = [f"treated from column {request.cohort!r}"]
    elif request.policy_date is None:
        flags = _flag_rows(labels, request, file)
        notes = [f"treated from the first period flagged in {request.treated!r}"]
    else:
        numbers, notes = _flag_groups(labels, request, periods, file)
    values = ", ".join(
        f"({'null' if label is None else text(label)}, "
        f"{'null' if numbers[label] is None else numbers[label]}, {flags[label]})"
        for label in labels
    )
    engine.execute(
        "create or replace table exp_run.panel_treatments as\n"
        "select t.value, cast(c.cohort_no as bigint) as cohort_no, c.is_on\n"
        "from exp_run.panel_treatments as t inner join (values\n"
        f"{values}) as c (label, cohort_no, is_on)\n"
        "    on t.label is not distinct from cast(c.label as varchar)"
    )
    return notes


def _refuse_zero(
    labels: list[str | None], request: PanelRequest, periods: Periods, where: str
) -> None:
    """Where periods begin at 0 or below, such a cohort is always treated, or never.

    Units that are called never treated by another word leave the number to the period.
    """
    unclear = [label for label in labels if label and _may_be_never(label, periods)]
    if not unclear or any((label or "").lower() in NEVER for label in labels):
        return
    option, first = request.option("cohort", request.cohort or ""), periods.labels[0]
    raise UsageError(
        f"a cohort of {unclear[0]} may be the period {unclear[0]}, or mean never treated",
        where=where,
        found=f"{unclear[0]} in {option}, periods from {first} on, and no unit that is "
        "said to be never treated",
        allowed="nothing or `never` for units never treated; 0 where periods begin "
        "with 1 or later",
        next_step="empty the column for units never treated, or number the periods "
        "from 1",
    )


def _may_be_never(label: str, periods: Periods) -> bool:
    """A number at or below 0 that lies before the periods, or is the first of them, 0."""
    if periods.grain != "step" or not re.fullmatch(r"-?\d{1,15}", label):
        return False
    number, first = int(label), int(periods.labels[0])
    return number <= 0 and (number < first <= 0 or number == first == 0)


def _require_flags(engine: Engine, request: PanelRequest, file: Path) -> None:
    """Whether a unit was treated is unknown where it is null; "never" is a guess."""
    missing = (
        "({0} is null or trim(cast({0} as varchar)) = ''\n"
        "    or coalesce(isnan(try_cast({0} as double)), false))"
    )
    profile = f"from exp_run.panel_profile where {missing.format('group_value')}"
    if not engine.rows(f"select 1 {profile} limit 1"):
        return
    unit = unit_of(request)
    column = identifier(request.treated or "")
    rows = (
        f"from exp_run.delivered as d inner join exp_run.panel_times as t\n"
        f"    on d.{identifier(request.time)} = t.value\n"
        f"where {missing.format('d.' + column)} and d.{unit} is not null"
    )
    n_rows, n_units = engine.rows(f"select count(*), count(distinct d.{unit}) {rows}")[
        0
    ]
    if not n_rows:
        return
    found = f"null in {n_rows:,} rows"
    if request.unit is not None:
        names = engine.rows(
            f"select distinct cast(d.{unit} as varchar) {rows}\n"
            f"order by 1 limit {_MOST_NAMES}"
        )
        listed = ", ".join(str(name) for (name,) in names)
        more = ", ..." if n_units > _MOST_NAMES else ""
        found += f" of {n_units:,} units: {listed}{more}"
    raise UsageError(
        f"column {request.treated!r} does not say of every row who was treated",
        where=str(file),
        found=found,
        allowed="a value in every row; null or blank is no control",
        next_step="fill the column in, or leave these units out",
    )


def _flag_groups(
    labels: list[str | None], request: PanelRequest, periods: Periods, file: Path
) -> tuple[dict[str | None, int | None], list[str]]:
    """All treated units from the policy date on."""
    date = request.policy_date or ""
    option = request.option("policy-date")
    number = periods.place(date, option)
    if not number:
        raise UsageError(
            "the policy date leaves no period before it or none after it",
            found=date,
            allowed=f"later than {periods.labels[0]}, up to {periods.labels[-1]}",
            next_step=f"correct {option}",
        )
    flags = {label: _is_flagged(label, request, labels, file) for label in labels}
    notes = [f"treated from period {periods.labels[number]} on"]
    if periods.read(date) not in periods.starts:
        notes[0] += f", the first that begins at or after {date}"
    return {label: number if flag else None for label, flag in flags.items()}, notes


def _flag_rows(
    labels: list[str | None], request: PanelRequest, file: Path
) -> dict[str | None, bool]:
    """A flag per row says when each unit's treatment began; it must then stay on."""
    if request.unit is None:
        raise UsageError(
            "without units, a flag per row does not say whose treatment began",
            where=request.option("treated", request.treated or ""),
            next_step=f"name {request.option('policy-date')}, or {request.option('unit')}",
        )
    return {label: _is_flagged(label, request, labels, file) for label in labels}


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
            allowed="0 and 1, true and false; or "
            + request.option("treated", "COL=VALUE"),
        )
    return flag
