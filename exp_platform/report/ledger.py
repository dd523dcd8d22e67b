"""Section 6 of the memo: how many units were lost where, per arm."""

from dataclasses import dataclass

from exp_platform.records import LedgerStage
from exp_platform.report import numbers
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


def describe_ledger(facts: MemoFacts) -> LedgerSection:
    """Stages as rows, arms as columns, control first."""
    counts = {(one.stage, one.variant): one.n_units for one in facts.ledger}
    arms = _order_arms(facts)
    stages = _order_stages(facts.ledger)
    rows = []
    for before, stage in zip([None, *stages], stages, strict=False):
        cells = (_fill(counts, before, stage, arm) for arm in arms)
        rows.append(LedgerRow(title_stage(stage), tuple(cells)))
    quarantined = sorted(facts.quarantine.items(), key=lambda item: (-item[1], item[0]))
    return LedgerSection(
        arms=arms,
        rows=tuple(rows),
        summary=_summarise(counts, stages, arms),
        quarantine=tuple((why, numbers.format_count(n)) for why, n in quarantined),
        n_quarantined=numbers.format_count(sum(facts.quarantine.values())),
    )


def _order_arms(facts: MemoFacts) -> tuple[str, ...]:
    known = [facts.spec.control, *facts.spec.treatments]
    found = [one.variant for one in facts.ledger]
    return tuple(arm for arm in dict.fromkeys([*known, *found]) if arm in found)


def _order_stages(ledger: tuple[LedgerStage, ...]) -> list[str]:
    ordered = sorted(ledger, key=lambda one: one.stage_order)
    return list(dict.fromkeys(one.stage for one in ordered))


def _fill(
    counts: dict[tuple[str, str], int], before: str | None, stage: str, arm: str
) -> LedgerCell:
    units = counts.get((stage, arm), 0)
    earlier = counts.get((before, arm)) if before else None
    if not earlier:
        return LedgerCell(numbers.format_count(units), "")
    lost = earlier - units
    if not lost:
        return LedgerCell(numbers.format_count(units), "none lost")
    share = numbers.format_percent(abs(lost) / earlier)
    word = "lost" if lost > 0 else "gained"
    text = f"{numbers.format_count(abs(lost))} {word} ({share})"
    return LedgerCell(numbers.format_count(units), text)


def _summarise(
    counts: dict[tuple[str, str], int], stages: list[str], arms: tuple[str, ...]
) -> str:
    if not stages:
        return "No unit ledger was made in this run."
    first, last = (
        sum(counts.get((stage, arm), 0) for arm in arms)
        for stage in (stages[0], stages[-1])
    )
    if not first:
        return "No unit was delivered."
    share = numbers.format_percent(last / first)
    return (
        f"{numbers.format_count(last)} of {numbers.format_count(first)} units "
        f"({share}) are in the analysis."
    )
