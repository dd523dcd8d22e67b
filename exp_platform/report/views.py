"""Other views of the same comparisons, each a small table: none of them decides."""

from collections.abc import Iterable
from dataclasses import dataclass

from exp_platform.checks.wording import join_words
from exp_platform.report.event_study import EventStudyChart


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with what stands small beside it."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand to the right."""

    title: str
    note: str = ""
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One metric and arm.

    Attributes:
        why_no_number: stands in place of the cells.
    """

    metric: str
    arm: str
    cells: tuple[Cell, ...]
    why_no_number: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """One table with its question as title and one sentence on how to read it."""

    title: str
    lead: str
    columns: tuple[Column, ...]
    rows: tuple[ViewRow, ...]
    charts: tuple[EventStudyChart, ...] = ()

    @property
    def shown(self) -> tuple[ViewRow, ...]:
        """The rows that have cells."""
        return tuple(row for row in self.rows if not row.why_no_number)

    @property
    def missing(self) -> tuple[str, ...]:
        """One sentence for each reason why rows have no number."""
        return explain_rows(
            (row.why_no_number, row.metric, row.arm) for row in self.rows
        )


def explain_rows(rows: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Rows without a number as one sentence per reason, in order.

    Args:
        rows: reason, metric and arm of each, "" as the reason of one with a number;
            the arm is told only where not all of a metric have the same.
    """
    listed = list(rows)
    arms = {arm for _, _, arm in listed}
    reasons: dict[str, list[str]] = {}
    for why, metric, arm in listed:
        if not why:
            continue
        is_split = len({one for one, name, _ in listed if name == metric}) > 1
        subject = f"{metric} ({arm})" if is_split and len(arms) > 1 else metric
        reasons.setdefault(why, []).append(subject)
    return tuple(
        f"No number for {join_words(dict.fromkeys(subjects))}: {why}."
        for why, subjects in reasons.items()
    )
