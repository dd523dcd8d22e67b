"""The table of gates as Markdown."""

from collections.abc import Mapping, Sequence

from exp_platform.pipelines.calibration.demands import DEMANDS
from exp_platform.pipelines.calibration.gate import Gate
from exp_platform.pipelines.calibration.judge import FAMILY, Row
from exp_platform.pipelines.calibration.reach import REASONS, covered_by
from exp_platform.pipelines.calibration.registry import SIMULATIONS, THEMES

HEAD = """\
# Calibration

What the error rates, the coverage and the power of every method are when they are
measured on data whose truth is known. Made by `make calibrate`; the tests run the same
simulations with fewer experiments.

A simulation draws many experiments and counts. Each row is a gate: a quantity, what it
must be (`=`, at most `<=`, at least `>=`), and by how much it may miss. The tolerance
is the Monte Carlo error at which {n_gates} gates together fail once in {family} tables
although every method is right, {reach:.1f} standard errors for an `=`. Where a method
is an approximation, or is known to depart, a slack is added to it and named under
"why". "The disease" marks what happens without the method, or where a method fails:
such a row must show it, and "Where a method fails" says what the platform does about
it. A distance is Kolmogorov and Smirnov's between the p-values of all runs and the uniform
distribution. Random numbers follow from the simulation's name, so that the page is the
same on every machine with the same versions of numpy and scipy.

{verdict}

"""

TITLES = (
    "gate",
    "method",
    "data",
    "quantity",
    "must be",
    "tolerance",
    "simulated",
    "MC error",
    "runs",
    "result",
    "why",
)
REST = (
    "Functions that only serve those above are not listed; a test finds them by what "
    "the simulations call."
)
GUARDS = (
    "Every disease above, and what the platform does about it: a gate of this page or a "
    "test proves that it does."
)
SIGNS = {"equal": "=", "most": "<=", "least": ">=", "uniform": "distance ="}


def render_page(rows: Sequence[Row]) -> str:
    """The whole page.

    Args:
        rows: of all gates, in the order of the registry.
    """
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.simulation.name, []).append(row)
    sections = [
        f"## {title}\n\n" + render_table([r for s in group for r in by_name[s.name]])
        for title, group in THEMES
    ]
    tail = "\n".join((_render_demands(), _render_guards(rows), _coverage()))
    return _head(rows) + "\n".join(sections) + "\n" + tail


def render_table(rows: Sequence[Row]) -> str:
    """Gates as a table; method and data stand in the first row of a simulation."""
    lines = ["| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    before = ""
    for row in rows:
        lines.append(_line(row, is_first=row.simulation.name != before))
        before = row.simulation.name
    return "\n".join(lines) + "\n"


def describe_bound(gate: Gate) -> str:
    """What the quantity must be, as it stands in the table."""
    return f"{SIGNS[gate.bound]} {format_rate(gate.nominal)}"


def format_rate(value: float) -> str:
    """A rate with the digits that matter."""
    return f"{value:.5f}".rstrip("0").rstrip(".") if value else "0"


def _line(row: Row, *, is_first: bool) -> str:
    method, data = row.simulation.method, row.simulation.data
    cells = [
        f"`{row.simulation.name}`",
        method if is_first else "",
        data if is_first else "",
        row.gate.quantity,
        describe_bound(row.gate),
        format_rate(row.tolerance),
        format_rate(row.value),
        format_rate(row.error),
        f"{row.runs:,}",
        "pass" if row.is_passed else "**FAIL**",
        _why(row.gate),
    ]
    return "| " + " | ".join(cells) + " |"


def _why(gate: Gate) -> str:
    slack = f"slack {format_rate(gate.slack)}" if gate.slack else ""
    why = ": ".join(part for part in (slack, gate.why) if part)
    return "; ".join(part for part in ("the disease" * bool(gate.guard), why) if part)


def _head(rows: Sequence[Row]) -> str:
    from scipy.special import ndtri

    failed = [row.name for row in rows if not row.is_passed]
    verdict = f"All {len(rows)} gates pass, in {len(SIMULATIONS)} simulations."
    if failed:
        verdict = f"{len(failed)} of {len(rows)} gates fail: {'; '.join(failed)}."
    return HEAD.format(
        n_gates=len(rows),
        family=round(1 / FAMILY),
        reach=-float(ndtri(FAMILY / len(rows) / 2)),
        verdict=verdict,
    )


def _render_demands() -> str:
    lines = [
        "## What was asked for",
        "",
        "The gates of METHODS section 7 and of the published experiments.",
        "",
        "| demand | simulations |",
        "|---|---|",
    ]
    for demand, names in DEMANDS:
        found = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {demand} | {found} |")
    return "\n".join(lines) + "\n"


def _render_guards(rows: Sequence[Row]) -> str:
    lines = [
        "## Where a method fails",
        "",
        GUARDS,
        "",
        "| gate | quantity | simulated | the platform | shown by |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        guard = row.gate.guard
        if guard is not None:
            cells = (
                f"`{row.simulation.name}`",
                row.gate.quantity,
                format_rate(row.value),
                guard.action,
                f"`{guard.shown_by}`",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _coverage() -> str:
    lines = [
        "## What is put to the test",
        "",
        "| function | simulations |",
        "|---|---|",
        *_pairs(
            {name: ", ".join(f"`{s}`" for s in found) for name, found in _covered()}
        ),
        "",
        "## What has no simulation, and why",
        "",
        REST,
        "",
        "| function | reason |",
        "|---|---|",
        *_pairs(REASONS),
    ]
    return "\n".join(lines) + "\n"


def _covered() -> Sequence[tuple[str, list[str]]]:
    return list(covered_by(SIMULATIONS).items())


def _pairs(table: Mapping[str, str]) -> list[str]:
    return [f"| `{name}` | {text} |" for name, text in table.items()]
