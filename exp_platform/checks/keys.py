"""Does every row say whose it is, and does every unit stand once?"""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import KeyFacts
from exp_platform.checks.wording import format_count, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.001
FAIL_SHARE = 0.1


def check_keys(facts: KeyFacts) -> CheckResult:
    """Are the keys whole: none missing, none broken in the analysis set?

    Args:
        facts: rows without a key by table, repeated and unregistered units.
    """
    if sum(facts.rows.values()) <= 0:
        return checks_not_run(
            ["KEYS"],
            facts.experiment_id,
            reason="NO_ROWS",
            message="No rows were delivered.",
        )[0]
    share = max(
        facts.missing.get(table, 0) / rows
        for table, rows in facts.rows.items()
        if rows > 0
    )
    status, reason = _judge(facts, share)
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="KEYS",
        status=status,
        reason=reason,
        message=_describe(facts, share),
        value=share,
        threshold=FAIL_SHARE if share >= FAIL_SHARE else WARN_SHARE,
        can_fail=True,
        details={
            "missing": dict(facts.missing),
            "repeated_units": facts.repeated_units,
            "unregistered_units": facts.unregistered_units,
            "has_match": facts.has_match,
        },
    )


def _judge(facts: KeyFacts, share: float) -> tuple[CheckStatus, str]:
    if facts.repeated_units > 0:
        return CheckStatus.FAILED, "REPEATED_UNITS"
    if facts.unregistered_units > 0:
        return CheckStatus.FAILED, "UNREGISTERED_ARM"
    if not facts.has_match:
        return CheckStatus.FAILED, "NOTHING_MATCHES"
    if share >= FAIL_SHARE:
        return CheckStatus.FAILED, "MISSING_KEYS"
    if share >= WARN_SHARE:
        return CheckStatus.WARNED, "MISSING_KEYS"
    return CheckStatus.PASSED, "FEW_MISSING_KEYS" if share > 0 else "KEYS_WHOLE"


def _describe(facts: KeyFacts, share: float) -> str:
    if facts.repeated_units > 0:
        units = format_count(facts.repeated_units, "unit")
        return f"{units} counted more than once in the analysis set."
    if facts.unregistered_units > 0:
        units = format_count(facts.unregistered_units, "unit")
        return f"{units} analysed in an arm that the registry does not know."
    if not facts.has_match:
        return "No outcome belongs to an exposed unit: the identifiers do not match."
    missing = sum(facts.missing.values())
    if missing == 0:
        return "Every row has its keys and every unit stands once."
    return (
        f"{format_count(missing, 'row')} without a key left out "
        f"(at most {format_share(share)} of a table)."
    )
