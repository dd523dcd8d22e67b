"""What the data hold of each departure's subject: no bots, nothing to disagree about."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.departures import Subject
from exp_platform.metrics.measures import parts_of
from exp_platform.metrics.scope import maturity_us, microseconds
from exp_platform.metrics.unit_values import may_miss_value
from exp_platform.records import SourceKind


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts in the data of one metric of one experiment.

    Attributes:
        bots, crossovers: units. repeated: units with several exposures.
        copies: rows delivered twice. assigned: rows of assignments.
        after_watermark: rows of the metric from the watermark on.
        received_late: rows of the metric received after the watermark.
        immature: exposures or assignments whose window closes after the watermark.
        missing: rows of the metric that were set aside for want of a value.
    """

    bots: int
    crossovers: int
    repeated: int
    copies: int
    assigned: int
    after_watermark: int
    received_late: int
    immature: int
    missing: int


def count_facts(
    engine: Engine, subject: Subject, relations: Mapping[str, str]
) -> Facts:
    """Count the subjects of all departures.

    Args:
        engine: holds the sources and what the metric is made of.
        subject: the metric.
        relations: of the metric as it is, by model.
    """
    units = relations["experiment_assignments"]
    watermark = microseconds(subject.spec.watermark_ts)
    names = _names(subject)
    opens_late = f"> {watermark - maturity_us(subject.definition)}"
    counts = {
        "bots": _count(f"{units} where is_bot"),
        "crossovers": _count(f"{units} where is_crossover"),
        "repeated": _count(f"{units} where n_exposures > 1"),
        "assigned": _count("exp.assignments"),
        "after_watermark": _count_rows(names, f"{{at}} >= {watermark}"),
        "received_late": _count_rows(names, f"{{received}} >= {watermark}"),
        "copies": _count("exp.quarantine where reason = 'DUPLICATE_ROW'")
        + _count_copied_events(names),
        "missing": _count_rejected(names),
        "immature": _count(f"exp.exposures where epoch_us(exposure_ts) {opens_late}")
        + " + "
        + _count(f"exp.assignments where epoch_us(assigned_ts) {opens_late}"),
    }
    listed = ", ".join(f"{count} as {name}" for name, count in counts.items())
    (found,) = engine.records(f"select {listed}")
    return Facts(**{name: int(count) for name, count in found.items()})


def _count(rows: str) -> str:
    return f"(select count(*) from {rows})"


def tell_absent(subject: Subject, facts: Facts) -> dict[str, str]:
    """Departures that cannot make a difference, with the reason, by code.

    Args:
        subject: the metric.
        facts: counts in its data.
    """
    absent = dict(_absent_in_definition(subject))
    absent |= dict(_absent_in_data(facts))
    may_miss = any(may_miss_value(part) for part, _ in parts_of(subject.definition))
    if not facts.missing and not may_miss:
        absent["missing_kept"] = "no value is missing"
    if not subject.spec.is_dated:
        undated = ("before_exposure", "from_start", "after_watermark")
        absent |= dict.fromkeys(undated, "the input has no dates")
    return absent


def _absent_in_definition(subject: Subject) -> Iterator[tuple[str, str]]:
    definition = subject.definition
    if subject.spec.plan.exclude_bots:
        yield "bots_dropped", "the plan takes bots out"
    else:
        yield "bots_kept", "the plan leaves bots in"
    if definition.window_days is None:
        yield "no_window", "the metric has no window"
    if definition.delay_days <= 0:
        yield "no_delay", "the metric has no delay"
    if definition.cap is None:
        yield "no_cap", "the metric has no cap"
    if definition.is_of_rows:
        yield "rows_only", "single rows are ranked, nothing is filled"


def _absent_in_data(facts: Facts) -> Iterator[tuple[str, str]]:
    if not facts.bots:
        yield "bots_kept", "no unit is a bot"
        yield "bots_dropped", "no unit is a bot"
    if not facts.crossovers:
        yield "crossover_dropped", "no unit met two arms"
        yield "crossover_in_each_arm", "no unit met two arms"
    if not facts.copies:
        yield "copies_kept", "no row was delivered twice"
    if not facts.repeated and not facts.copies:
        yield "every_exposure", "no unit has two exposures"
    if not facts.after_watermark:
        yield "after_watermark", "no row lies behind the watermark"
    if not facts.received_late:
        yield "not_yet_received", "no row is known to be received after the watermark"
    if not facts.assigned:
        yield "all_assigned", "no assignments were delivered"
    if not facts.immature:
        yield "immature_kept", "every unit's window had closed by the watermark"


Names = Mapping[SourceKind, Collection[str]]


def _names(subject: Subject) -> Names:
    """Outcomes and events that the value is made of."""
    names: dict[SourceKind, set[str]] = {kind: set() for kind in SourceKind}
    for part, covariate in parts_of(subject.definition):
        if covariate is None:
            names[part.rows.kind].add(part.name)
    return names


def _listed(names: Collection[str]) -> str:
    return ", ".join(quote(name) for name in sorted(names))


def _count_rows(names: Names, condition: str) -> str:
    """Rows of the metric, wherever they stand, that meet a condition."""
    places = (
        (SourceKind.OUTCOME, "exp.outcomes", "metric_name", "outcome_ts"),
        (SourceKind.EVENT, "exp.fact_event", "event_name", "event_ts"),
    )
    counts = []
    for kind, table, name, instant in places:
        if names[kind]:
            where = condition.format(
                at=f"epoch_us({instant})", received="epoch_us(received_ts)"
            )
            named = f"{name} in ({_listed(names[kind])})"
            counts.append(_count(f"{table} where {named} and {where}"))
    return " + ".join(counts)


def _count_rejected(names: Names) -> str:
    """Rows of the metric that were set aside, but for copies."""
    outcomes = _listed(names[SourceKind.OUTCOME]) or "''"
    name = "json_extract_string(payload, '$.metric_name')"
    events = _listed(names[SourceKind.EVENT]) or "''"
    return (
        _count(
            "exp.quarantine where table_name = 'outcomes'"
            f" and reason <> 'DUPLICATE_ROW' and {name} in ({outcomes})"
        )
        + " + "
        + _count(
            "exp.event_quarantine where reason <> 'EVENT_ID_REUSED'"
            f" and event_name in ({events})"
        )
    )


def _count_copied_events(names: Names) -> str:
    if not names[SourceKind.EVENT]:
        return ""
    delivered, kept = "exp_run.delivered_fact_event", "exp.fact_event"
    return f" + {_count(delivered)} - {_count(kept)}"
