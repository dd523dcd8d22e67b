"""Rows that ingest rejected."""

from collections import Counter

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import IngestFacts
from exp_platform.checks.wording import format_count, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01


def check_quarantine(facts: IngestFacts) -> CheckResult:
    """Was a large share of some table rejected?

    Args:
        facts: rows delivered by table, rows rejected by table and reason.
    """
    delivered = sum(facts.delivered.values())
    if delivered <= 0:
        return checks_not_run(
            ["QUARANTINE"],
            facts.experiment_id,
            reason="NO_ROWS",
            message="No rows were delivered.",
        )[0]
    rejected: Counter[str] = Counter()
    for (table, _), rows in facts.quarantined.items():
        rejected[table] += rows
    share = max(
        rejected[table] / rows for table, rows in facts.delivered.items() if rows > 0
    )
    is_warned = share >= WARN_SHARE
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="QUARANTINE",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="MANY_REJECTED" if is_warned else "FEW_REJECTED",
        message=_describe(facts, delivered),
        value=share,
        threshold=WARN_SHARE,
        details={
            "rejected": [
                {"table": table, "reason": reason, "rows": rows}
                for (table, reason), rows in facts.quarantined.items()
            ]
        },
    )


def _describe(facts: IngestFacts, delivered: int) -> str:
    rejected = {key: n for key, n in facts.quarantined.items() if n}
    if not rejected:
        return f"All of {format_count(delivered, 'row')} met the contract."
    by_size = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(
        f"{table} {reason} {rows:,} ({format_share(rows / facts.delivered[table])})"
        for (table, reason), rows in by_size[:3]
        if facts.delivered.get(table)
    )
    rest = "" if len(by_size) <= 3 else f", and {len(by_size) - 3} more reasons"
    total = format_count(sum(rejected.values()), "row")
    return f"{total} rejected: {named}{rest}."
