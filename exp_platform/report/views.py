"""Other views of the same comparisons, each a small table: none of them decides."""

from dataclasses import dataclass

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
