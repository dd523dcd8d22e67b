"""Rows delivered twice: counted, and said aloud above a share."""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import IngestFacts
from exp_platform.checks.wording import format_count, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01


def check_duplicates(facts: IngestFacts) -> CheckResult:
    """Were many rows equal to another row in every column?

    Args:
        facts: rows delivered and found equal, by table.
    """
    delivered = sum(facts.delivered.values())
    if delivered <= 0:
        return checks_not_run(
            ["DUPLICATES"],
            facts.experiment_id,
            reason="NO_ROWS",
            message="No rows were delivered.",
        )[0]
    shares = {
        table: facts.duplicates.get(table, 0) / rows
        for table, rows in facts.delivered.items()
        if rows > 0
    }
    share = max(shares.values())
    is_warned = share >= WARN_SHARE
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="DUPLICATES",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="MANY_DUPLICATES" if is_warned else "FEW_DUPLICATES",
        message=_describe(facts, delivered),
        value=share,
        threshold=WARN_SHARE,
        details={"duplicates": dict(facts.duplicates), "kept": facts.keeps_duplicates},
    )


def _describe(facts: IngestFacts, delivered: int) -> str:
    n = sum(facts.duplicates.values())
    if n == 0:
        return f"None of {format_count(delivered, 'row')} was delivered twice."
    fate = "kept, as the plan says" if facts.keeps_duplicates else "removed"
    tables = ", ".join(
        f"{table} {rows:,} ({format_share(rows / facts.delivered[table])})"
        for table, rows in facts.duplicates.items()
        if rows and facts.delivered.get(table)
    )
    return f"{format_count(n, 'duplicate row')} {fate}: {tables}."
