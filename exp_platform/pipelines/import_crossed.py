"""Units that stand in several arms of a file with one row per unit.

All of their exposures land, so that CROSSOVER sees them. Their values are taken once,
from the row of the arm in which they are analysed, that of their first exposure.
"""

from datetime import datetime

from exp_platform.checks.wording import format_count
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.pipelines.import_request import ImportRequest

DELIVERED = "exp_run.delivered"
_COUNTED = "exp_run.counted"


def choose_rows(
    engine: Engine, request: ImportRequest, window: tuple[datetime, datetime, datetime]
) -> tuple[str, list[str]]:
    """The relation whose rows' values count, and what was done about crossed units.

    The first exposure is found as the analysis finds it: within the window, by its
    instant, then by the name of the arm.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
        window: start and end of the exposures, and the watermark.
    """
    if request.unit is None or request.long is not None:
        return DELIVERED, []
    unit, arm = identifier(request.unit), _arm(identifier(request.variant))
    engine.execute(
        "create or replace table exp_run.crossed as\n"
        f"select unit, coalesce(min(arm) <> max(arm), false) as is_crossed\n"
        f"from (select {unit} as unit, {arm} as arm from {DELIVERED})\n"
        "where unit is not null group by unit\n"
        "having min(arm) <> max(arm) or count(arm) < count(*)"
    )
    n_rows, n_crossed = engine.rows(
        "select count(*), count(*) filter (is_crossed) from exp_run.crossed"
    )[0]
    if request.keep_duplicates or not n_rows:
        return DELIVERED, _say_added(n_crossed)
    engine.execute(
        "create or replace table exp_run.first_arms as\n"
        "select unit, arg_min(arm, (instant, arm)) as arm\n"
        f"from (select {unit} as unit, {arm} as arm,\n"
        f"        {_instant(request, window[0])} as instant from {DELIVERED})\n"
        "where unit in (select unit from exp_run.crossed) and arm is not null\n"
        f"    and {_is_inside(window)}\n"
        "group by unit"
    )
    # Where no row can be an exposure, the unit is in no analysis and its rows stay.
    engine.execute(
        f"create or replace view {_COUNTED} as\n"
        f"select d.* from {DELIVERED} as d left join exp_run.first_arms as f\n"
        f"    on d.{unit} = f.unit\n"
        f"where f.arm is null or {_arm('d.' + identifier(request.variant))} = f.arm"
    )
    return _COUNTED, _say_once(n_crossed, is_dated=request.exposure_ts is not None)


def _arm(column: str) -> str:
    """The arm as text; null where a row names none, which is then no exposure."""
    value = f"cast({column} as varchar)"
    return f"case when trim({value}) <> '' then {value} end"


def _instant(request: ImportRequest, start: datetime) -> str:
    if request.exposure_ts is None:
        return f"timestamptz '{start.isoformat()}'"
    return f"try_cast({identifier(request.exposure_ts)} as timestamptz)"


def _is_inside(window: tuple[datetime, datetime, datetime]) -> str:
    start, end, _ = (instant.isoformat() for instant in window)
    return f"instant >= timestamptz '{start}' and instant < timestamptz '{end}'"


def _say_once(n_crossed: int, *, is_dated: bool) -> list[str]:
    if not n_crossed:
        return []
    which, why = "first exposure", ""
    if not is_dated:
        which, why = "arm first by name", ", as no exposure time says which was first"
    note = (
        f"{_stand(n_crossed)} in several arms: only the values of the row of the {which} "
        f"count{why}; the check CROSSOVER sees all exposures"
    )
    return [note]


def _say_added(n_crossed: int) -> list[str]:
    if not n_crossed:
        return []
    note = (
        f"{_stand(n_crossed)} in several arms: --keep-duplicates adds up the values of "
        "all rows of a unit, and they count for its first arm"
    )
    return [note]


def _stand(n_crossed: int) -> str:
    return (
        f"{format_count(n_crossed, 'unit')} {'stands' if n_crossed == 1 else 'stand'}"
    )
