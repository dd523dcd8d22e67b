"""What the command line shows: tables, JSON, CSV, memos and SQL."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from exp_platform.config import Settings
from exp_platform.decision.look_words import list_shares
from exp_platform.decision.trends import describe_power
from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import open_lake
from exp_platform.pipelines.write_memo import memo_files
from exp_platform.records import Estimate, EstimateRole, LookMethod

if TYPE_CHECKING:
    from exp_platform.pipelines.run_end_to_end import RunOutcome

_WIDEST = 1000
Row = Mapping[str, Any]


def record_document(record: Any) -> dict[str, Any]:
    """A record with its field names, as JSON values."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(record), default=_plain))
    return document


def outcome_document(outcome: "RunOutcome") -> dict[str, Any]:
    """One run: run_id, verdict, decision, checks, estimates."""
    judgement = outcome.judgement
    return {
        "run_id": outcome.run_id,
        "verdict": judgement.verdict.value,
        "decision": record_document(judgement.overall),
        "checks": [record_document(check) for check in judgement.checks],
        "estimates": [record_document(e) for e in judgement.estimates],
    }


def as_json(document: Any) -> str:
    """Indented JSON; never NaN."""
    return json.dumps(document, indent=2, allow_nan=False)


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with a header; nested values as JSON."""
    out = io.StringIO()
    names = [field.name for field in fields(Estimate)]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in row.items()
            }
        )
    return out.getvalue()


def check_format(output: str, allowed: Sequence[str], *, what: str = "format") -> None:
    """Refuse a format that does not exist, before any work.

    Args:
        output: the word that was given.
        allowed: the words there are.
        what: what it names, such as `dialect`.

    Raises:
        UsageError: it is not one of those.
    """
    if output not in allowed:
        raise UsageError(f"no {what} {output!r}", allowed=", ".join(allowed))


def print_table(rows: Sequence[Row], *, empty: str = "nothing to show") -> None:
    """Rows as an aligned table on standard output; a cell never wraps.

    Args:
        rows: all with the same columns.
        empty: what it means that there is none, and what to do about it.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not rows:
        console.print(empty, soft_wrap=True, markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        numeric = all(_is_numeric(row[name]) for row in rows)
        # An arm's name heads a column too, and [x] in it would be read as a style.
        table.add_column(
            Text(name), justify="right" if numeric else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    unbounded = console.options.update(width=_WIDEST)
    needed = console.measure(table, options=unbounded).maximum
    console.width = max(console.width, needed)
    console.print(table)


def print_results(estimates: Sequence[Estimate]) -> None:
    """Estimates with a number as a table, the others as one line each."""
    import sys

    whole = [e for e in estimates if "=" not in e.segment]
    others = [e for e in whole if _is_other_look(e)]
    ordered = sorted(
        (e for e in whole if not _is_other_look(e)),
        key=lambda e: (_ROLES[e.role], e.metric_name, e.treatment, e.method),
    )
    rows = [e for e in ordered if e.is_ok]
    lines = [_result_line(e, has_looks=bool(others)) for e in rows]
    print_table(lines, empty="no estimate with a number")
    for line in (*describe_looks(ordered), *_describe_trends(ordered)):
        sys.stdout.write(f"{line}\n")
    missing: dict[tuple[str, str], list[str]] = {}
    for e in ordered:
        if not e.is_ok:
            missing.setdefault((e.method, e.reason), []).append(_metric(e))
    for (method, reason), metrics in missing.items():
        names = ", ".join(dict.fromkeys(metrics))
        sys.stdout.write(f"no {method} ({reason}): {names}\n")
    n_segments = len({e.segment for e in estimates if "=" in e.segment})
    if n_segments:
        sys.stdout.write(f"{n_segments} more segments: --format json or csv\n")
    if others:
        sys.stdout.write(f"{len(others)} rows of other looks: --format json or csv\n")


def _describe_trends(estimates: Sequence[Estimate]) -> list[str]:
    """Effects whose pre-trend test was too weak to vouch for them."""
    return [words for e in estimates if (words := describe_power(e))]


_ROLES = {
    EstimateRole.PRIMARY: 0,
    EstimateRole.SECONDARY: 1,
    EstimateRole.DIAGNOSTIC: 2,
}


def _metric(e: Estimate) -> str:
    """Its name; a test over an attribute's levels names the attribute."""
    return e.metric_name if e.segment == "all" else f"{e.metric_name} by {e.segment}"


def _is_other_look(e: Estimate) -> bool:
    return e.look is not None and e.role is not EstimateRole.PRIMARY


def describe_looks(estimates: Sequence[Estimate]) -> list[str]:
    """At which look the deciding rows stand, and what bound they are held against.

    Args:
        estimates: rows of one experiment.
    """
    lines: dict[str, list[str]] = {}
    for e in estimates:
        place = e.details.get("sequential", {})
        if e.role is not EstimateRole.PRIMARY or not place:
            continue
        if place.get("status") == "NO_LOOK":
            words = "no look yet, these numbers decide nothing"
        elif place.get("method") == LookMethod.FIXED:
            words = "one look, at the end: a single test"
        elif place.get("looks_planned") is None and place.get("critical_value") is None:
            continue
        else:
            words = _name_look(e, place)
        lines.setdefault(words, []).append(e.metric_name)
    return [f"{', '.join(dict.fromkeys(m))}: {words}" for words, m in lines.items()]


def _name_look(e: Estimate, place: Mapping[str, Any]) -> str:
    planned, critical = place.get("looks_planned"), place.get("critical_value")
    words = [f"look {e.look}" + (f" of {planned}" if planned else "")]
    if e.look_ts is not None:
        words[0] += f" ({e.look_ts:%Y-%m-%d %H:%M} UTC)"
    words += [f"{share:.0%} {what}" for share, what in list_shares(e)]
    bound = "no bound yet" if critical is None else f"bound {critical:.4g}"
    spending = place.get("spending") or place["method"]
    words.append(f"{bound} standard errors ({spending})" if critical else bound)
    return ", ".join(words) + "; intervals are repeated ones"


def _result_line(e: Estimate, *, has_looks: bool) -> Row:
    sequential = {"p, all looks": _number(e.sequential_p_value)} if has_looks else {}
    look = {"look": "" if e.look is None else str(e.look)} if has_looks else {}
    return {
        "metric": _metric(e),
        "arm": e.treatment,
        "method": e.method,
        "role": e.role.value,
        **look,
        "control": _number(e.control_mean),
        "treatment": _number(e.treatment_mean),
        "difference": _number(e.difference),
        f"{1 - e.alpha:.0%} interval": _interval(e.ci_lower, e.ci_upper),
        "lift": _percent(e.relative_lift),
        "p": _number(e.p_value),
        **sequential,
        "adjusted p": _number(e.p_value_adjusted),
    }


def last_runs(settings: Settings) -> dict[str, dict[str, Any]]:
    """The ledger row of each experiment's last run that decided, by experiment."""
    with open_lake(settings) as lake:
        rows = lake.read("analysis_runs").to_pylist()
    last: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: (r["computed_at"], r["run_id"])):
        if row["outcome"] is not None or row["experiment_id"] not in last:
            last[row["experiment_id"]] = row
    return last


def list_runs(settings: Settings) -> list[Row]:
    """Experiments with the last run that decided."""
    return [
        {
            "experiment": name,
            "verdict": row["verdict"] or "-",
            "decision": row["outcome"] or "-",
            "look, information": _say_look(row),
            "computed at (UTC)": f"{row['computed_at']:%Y-%m-%d %H:%M}",
            "run": row["run_id"],
        }
        for name, row in sorted(last_runs(settings).items())
    ]


def _say_look(row: Row) -> str:
    """9 of 14, 64%: the look of the last decision, the share of planned information."""
    if row["look"] is None:
        return "-"
    words = str(row["look"])
    if row["looks_planned"] is not None:
        words += f" of {row['looks_planned']}"
    share = row["information_share"]
    return words if share is None else f"{words}, {share:.0%}"


def read_memo(settings: Settings, experiment_id: str) -> str:
    """The Markdown memo of an experiment.

    Raises:
        ContractError: nobody has written it, or not since the last run that decided.
    """
    from exp_platform.lake import validate_experiment_id

    validate_experiment_id(experiment_id)
    path = memo_files(settings.paths.memos, experiment_id).markdown
    if not path.is_file():
        raise ContractError(
            f"experiment {experiment_id!r} has no memo",
            where=str(path),
            next_step=f"exp run {experiment_id}",
        )
    text = path.read_text("utf-8")
    last = last_runs(settings).get(experiment_id, {})
    if last.get("outcome") is not None and last["run_id"] not in text:
        raise ContractError(
            "the memo is that of another run than the last one",
            where=str(path),
            found=f"nothing of run {last['run_id']}, which decided {last['outcome']} "
            "and was stopped before its memo",
            next_step="run the stage write_memo, or `exp run` again",
        )
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _is_numeric(value: Any) -> bool:
    text = _cell(value)
    return not text or text[0] in "+-0123456789"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _interval(lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return ""
    return f"{lower:.4g} to {upper:.4g}"
