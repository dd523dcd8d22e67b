"""Stage dq: can the delivered rows be trusted, before any metric is computed?"""

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from exp_platform.checks.crossover import check_crossover
from exp_platform.checks.duplicates import check_duplicates
from exp_platform.checks.facts import (
    CrossoverFacts,
    IngestFacts,
    KeyFacts,
    LateFacts,
    WindowFacts,
)
from exp_platform.checks.keys import check_keys
from exp_platform.checks.late import check_late_data
from exp_platform.checks.quarantine import check_quarantine
from exp_platform.checks.window import check_out_of_window
from exp_platform.lake.reading import open_empty
from exp_platform.lake.types import quote_text
from exp_platform.metrics.measures import events_of, parts_of
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import CheckResult, ExperimentSpec

CHECKS = (
    "KEYS",
    "DUPLICATES",
    "OUT_OF_WINDOW",
    "LATE_DATA",
    "QUARANTINE",
    "CROSSOVER",
)
LATE_HOURS = 48.0
_KEY_REASONS = ("MISSING_KEY", "BAD_TIMESTAMP")


def check_data(run: Run, ingested: Ingested) -> tuple[CheckResult, ...]:
    """The checks that need nothing but the canonical rows and the quarantine."""
    delivered = {d.table: d.delivered for d in ingested.deliveries}
    facts = _ingest_facts(ingested, delivered)
    crossover = _crossover_facts(run, ingested.spec)
    run.stages["dq"] = "done"
    found = [
        check_keys(_key_facts(run, ingested, delivered)),
        check_duplicates(facts),
        check_quarantine(facts),
        check_crossover(crossover),
    ]
    # without instants of their own rows cannot be late or outside
    if ingested.spec.has_events:
        found.append(check_late_data(_late_facts(run, ingested)))
        found.append(check_out_of_window(_window_facts(run, ingested)))
    return tuple(found)


def _window_facts(run: Run, ingested: Ingested) -> WindowFacts:
    return WindowFacts(
        ingested.spec.experiment_id,
        rows={d.table: d.accepted for d in ingested.deliveries},
        outside=_rows_outside(run, ingested),
    )


def _ingest_facts(ingested: Ingested, delivered: Mapping[str, int]) -> IngestFacts:
    return IngestFacts(
        ingested.spec.experiment_id,
        delivered=delivered,
        quarantined={
            (d.table, reason): count
            for d in ingested.deliveries
            for reason, count in d.rejected.items()
            if reason != "DUPLICATE_ROW"
        },
        duplicates={
            d.table: d.rejected.get("DUPLICATE_ROW", 0) for d in ingested.deliveries
        },
        keeps_duplicates=ingested.spec.plan.keep_duplicates,
    )


def _key_facts(run: Run, ingested: Ingested, delivered: Mapping[str, int]) -> KeyFacts:
    arms = ", ".join(
        "'" + variant.name.replace("'", "''") + "'"
        for variant in ingested.spec.variants
    )
    unregistered = run.engine.rows(
        f"select count(*) from exp.exposures where variant not in ({arms})"
    )
    return KeyFacts(
        ingested.spec.experiment_id,
        rows=delivered,
        missing={
            d.table: sum(d.rejected.get(reason, 0) for reason in _KEY_REASONS)
            for d in ingested.deliveries
        },
        unregistered_units=int(unregistered[0][0]),
        has_match=_has_match(run, ingested),
        absent=_find_absent(run, ingested),
    )


def _find_absent(run: Run, ingested: Ingested) -> dict[str, list[str]]:
    """Outcomes and events that metrics are made of and no row has, with those there."""
    named = {
        (part.relation.source, part.relation.name, part.name)
        for definition in ingested.definitions.values()
        for part, covariate in parts_of(definition)
        if covariate is None
    }
    found: dict[str, list[str]] = {}
    if not ingested.spec.namespace:
        open_empty(run.engine, "fact_event")
    for source, column, name in sorted(named):
        if not _is_there(run, source, column, name):
            rows = run.engine.rows(f"select distinct {column} from {source}")
            found[name] = sorted(there for (there,) in rows)
    return found


def _is_there(run: Run, source: str, column: str, name: str) -> bool:
    """Ends at the first row, where a list of all names would read every one."""
    where = f"where {column} = {quote_text(name)} limit 1"
    return bool(run.engine.rows(f"select 1 from {source} {where}"))


def _has_match(run: Run, ingested: Ingested) -> bool:
    if not all(delivery.accepted for delivery in ingested.deliveries):
        return True
    matched = run.engine.rows(
        "select 1 from exp.outcomes as outcomes\n"
        "semi join exp.exposures as exposures\n"
        "    on outcomes.user_id = exposures.user_id limit 1"
    )
    return bool(matched)


def _rows_outside(run: Run, ingested: Ingested) -> dict[str, int]:
    spec = ingested.spec
    lookbacks = [
        d.covariate.lookback_days for d in ingested.definitions.values() if d.covariate
    ]
    reach = max([spec.pre_period_days, *lookbacks, 0])
    anchor = min(spec.start_ts, spec.policy_ts or spec.start_ts)
    earliest = anchor - timedelta(days=reach)
    exposures = run.engine.rows(
        "select count(*) from exp.exposures where exposure_ts < "
        f"{_instant(spec.start_ts)} or exposure_ts >= {_instant(spec.end_ts)}"
    )
    outcomes = run.engine.rows(
        "select count(*) from exp.outcomes where outcome_ts < "
        f"{_instant(earliest)} or outcome_ts >= {_instant(spec.watermark_ts)}"
    )
    return {"exposures": int(exposures[0][0]), "outcomes": int(outcomes[0][0])}


def _late_facts(run: Run, ingested: Ingested) -> LateFacts:
    spec = ingested.spec
    microseconds = round(LATE_HOURS * 3_600_000_000)
    late = f"epoch_us(received_ts) - epoch_us(happened) > {microseconds}"
    read = f"is_own and happened < {_instant(spec.watermark_ts)}"
    rows = (
        "select outcome_ts as happened, received_ts, true as is_own from exp.outcomes"
    )
    names = [events_of(definition) for definition in ingested.definitions.values()]
    listed = ", ".join(quote_text(name) for name in sorted(set().union(*names)))
    if listed and spec.namespace:
        # others' events tell that the feed is alive, and delay no number of this one
        rows += (
            "\nunion all select event_ts as happened, received_ts,\n"
            "    user_id in (select user_id from exp.exposures) as is_own\n"
            "from exp.fact_event\n"
            f"where event_name in ({listed}) and event_ts >= {_instant(spec.start_ts)}"
        )
    row = run.engine.records(
        f"select count(received_ts) filter (where {read}) as n_rows,\n"
        f"    max(happened) as last_ts,\n"
        f"    count(*) filter (where {read} and {late}) as n_late from ({rows})"
    )[0]
    return LateFacts(
        spec.experiment_id,
        rows=int(row["n_rows"]),
        rows_late=int(row["n_late"]),
        threshold_hours=LATE_HOURS,
        last_event_ts=row["last_ts"] if spec.is_dated else None,
        watermark_ts=spec.watermark_ts,
        is_dated=spec.is_dated,
    )


def _crossover_facts(run: Run, spec: ExperimentSpec) -> CrossoverFacts:
    rows: list[dict[str, Any]] = run.engine.records(
        "with arms as (select user_id, variant, min(exposure_ts) as since\n"
        f"    from exp.exposures where exposure_ts >= {_instant(spec.start_ts)}\n"
        f"    and exposure_ts < {_instant(spec.end_ts)} group by user_id, variant),\n"
        "units as (select user_id, count(*) > 1 as is_crossed,\n"
        "    min(struct_pack(since, variant)).variant as variant,\n"
        "    count(*) > 1 and min(since, 2)[1] = min(since, 2)[2] as is_tied\n"
        "    from arms group by user_id)\n"
        "select variant, count(*) as n_units,\n"
        "    count(*) filter (where is_crossed) as n_crossed,\n"
        "    count(*) filter (where is_tied) as n_tied\n"
        "from units group by variant order by variant"
    )
    return CrossoverFacts(
        spec.experiment_id,
        units={row["variant"]: row["n_units"] for row in rows},
        crossed={row["variant"]: row["n_crossed"] for row in rows},
        tied={row["variant"]: row["n_tied"] for row in rows if row["n_tied"]},
    )


def _instant(value: Any) -> str:
    return f"timestamptz '{value.isoformat()}'"


def run_alone(run: Run) -> None:
    """Load from the lake, check, store beside the other checks, and print."""
    from exp_platform.pipelines.check_rows import store_checks

    checks = check_data(run, load_ingested(run))
    store_checks(run, checks, CHECKS)
    for check in checks:
        sys.stdout.write(f"{check.status:<8} {check.check_name:<14} {check.message}\n")


def main() -> int:
    """`python -m exp_platform.pipelines.dq_report --config ... --experiment-id ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("dq_report", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
