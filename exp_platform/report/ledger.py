"""Section 6 of the memo: how many units were lost where, per arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.records import LedgerStage
from exp_platform.report.facts import MemoFacts
from exp_platform.report.words import title_stage


@dataclass(frozen=True, slots=True)
class LedgerCell:
    """Units of one arm left after a stage, and those it lost."""

    units: str
    lost: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One stage over all arms."""

    stage: str
    cells: tuple[LedgerCell, ...]


@dataclass(frozen=True, slots=True)
class LedgerSection:
    """The unit ledger and the rows that never became units."""

    arms: tuple[str, ...]
    rows: tuple[LedgerRow, ...]
    summary: str
    quarantine: tuple[tuple[str, str], ...]
    n_quarantined: str


# Stages that are told only where they take a unit: most of the time they take none.
_QUIET = frozenset({"deduplicated", "resolved", "untreated_at_first", "in_metric"})
_OF_EVENTS = frozenset({"in_window", "not_bot"})

Counts = Mapping[str, int]


def describe_ledger(facts: MemoFacts) -> LedgerSection:
    """Stages as rows, arms as columns, control first."""
    steps = _group_steps(facts.ledger)
    arms = _order_arms(facts)
    quiet = _QUIET if facts.spec.has_events else _QUIET | _OF_EVENTS
    rows: list[LedgerRow] = []
    before: Counts = {}
    for first, counts in steps:
        cells = tuple(
            _fill(before.get(arm), counts.get(arm, 0), is_exclusion=first.is_exclusion)
            for arm in arms
        )
        is_quiet = first.stage in quiet and counts == before
        if not is_quiet:
            is_panel = facts.spec.panel is not None and first.stage == "exposed"
            title = title_stage(
                "in_panel" if is_panel else first.stage, first.metric_name
            )
            rows.append(LedgerRow(title, cells))
        # what one metric leaves out, the next one may have
        if first.is_exclusion and not first.metric_name:
            before = counts
    quarantined = sorted(facts.quarantine.items(), key=lambda item: (-item[1], item[0]))
    return LedgerSection(
        arms=arms,
        rows=tuple(rows),
        summary=_summarise(steps),
        quarantine=tuple((why, numbers.format_count(n)) for why, n in quarantined),
        n_quarantined=numbers.format_count(sum(facts.quarantine.values())),
    )


def _order_arms(facts: MemoFacts) -> tuple[str, ...]:
    known = [facts.spec.control, *facts.spec.treatments]
    found = [one.variant for one in facts.ledger]
    return tuple(arm for arm in dict.fromkeys([*known, *found]) if arm in found)


def _group_steps(
    ledger: tuple[LedgerStage, ...],
) -> list[tuple[LedgerStage, dict[str, int]]]:
    """Each stage (of each metric) in order, with its units by arm."""
    steps: dict[tuple[int, str], tuple[LedgerStage, dict[str, int]]] = {}
    for one in sorted(ledger, key=lambda one: (one.stage_order, one.metric_name)):
        _, counts = steps.setdefault((one.stage_order, one.metric_name), (one, {}))
        counts[one.variant] = one.n_units
    return list(steps.values())


def _fill(earlier: int | None, units: int, *, is_exclusion: bool) -> LedgerCell:
    if not earlier:
        return LedgerCell(numbers.format_count(units), "")
    lost = earlier - units
    if not lost:
        return LedgerCell(numbers.format_count(units), "none lost")
    share = numbers.format_percent(abs(lost) / earlier)
    word = "lost" if lost > 0 else "gained"
    if not is_exclusion:
        word = "others stay in"
    text = f"{numbers.format_count(abs(lost))} {word} ({share})"
    return LedgerCell(numbers.format_count(units), text)


def _summarise(steps: Sequence[tuple[LedgerStage, Counts]]) -> str:
    shared = [counts for first, counts in steps if not first.metric_name]
    if not shared:
        return "No unit ledger was made in this run."
    first, last = sum(shared[0].values()), sum(shared[-1].values())
    if not first:
        return "No unit was delivered."
    share = numbers.format_percent(last / first)
    return (
        f"{numbers.format_count(last)} of {numbers.format_count(first)} units "
        f"({share}) are in the analysis."
    )
