"""Rows of a delivered file that count nowhere, told before they are missed.

Ingest sets those without a key or an instant aside, such as a spreadsheet's last row of
totals; outcomes that no flag names are not imported.
"""

from exp_platform.checks.wording import format_count
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.pipelines.import_rows import has_key


def tell_lost(engine: Engine, request: ImportRequest) -> list[str]:
    """A sentence for each kind of such rows.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
    """
    lacking = {"a unit or an arm": f"not {has_key(request)}"}
    instants = [request.exposure_ts, request.long.outcome_ts if request.long else None]
    for name in filter(None, instants):
        unread = f"try_cast({identifier(name)} as timestamptz) is null"
        lacking[f"an instant that can be read in {name!r}"] = unread
    counts = ", ".join(f"count(*) filter ({rows})" for rows in lacking.values())
    found = engine.rows(f"select {counts} from exp_run.delivered")[0]
    return [
        f"{format_count(n, 'row')} {'lacks' if n == 1 else 'lack'} {what}: "
        f"{'it goes' if n == 1 else 'they go'} to quarantine"
        for what, n in zip(lacking, found, strict=True)
        if n
    ] + _tell_others(engine, request)


def _tell_others(engine: Engine, request: ImportRequest) -> list[str]:
    """Of a long file only rows of outcomes that a flag names are imported."""
    if request.long is None:
        return []
    label = f"cast({identifier(request.long.metric_name)} as varchar)"
    wanted = ", ".join(map(text, (*request.metrics, *request.past)))
    others = engine.rows(
        f"select trim({label}), count(*) from exp_run.delivered\n"
        f"where coalesce({label} not in ({wanted}), true) group by all order by all"
    )
    n_rows, names = sum(row[1] for row in others), [row[0] for row in others if row[0]]
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    of = f"that no flag names ({shown})" if names else "without a name"
    return [f"{format_count(n_rows, 'row')} of outcomes {of}: left out"] * bool(others)
