"""Does every row say whose it is, and does every unit stand once?"""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import KeyFacts
from exp_platform.checks.wording import format_count, format_share, join_words
from exp_platform.errors import did_you_mean
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.001
FAIL_SHARE = 0.1
_MOST_NAMED = 3


def check_keys(facts: KeyFacts) -> CheckResult:
    """Are the keys whole: none missing, none broken in the analysis set?

    Args:
        facts: rows without a key by table, repeated and unregistered units, and names
            that lead to no row.
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
            "absent": list(facts.absent),
        },
    )


def _judge(facts: KeyFacts, share: float) -> tuple[CheckStatus, str]:
    """The gravest of what was found."""
    failed, warned = CheckStatus.FAILED, CheckStatus.WARNED
    found = (
        (facts.repeated_units > 0, failed, "REPEATED_UNITS"),
        (facts.unregistered_units > 0, failed, "UNREGISTERED_ARM"),
        (not facts.has_match, failed, "NOTHING_MATCHES"),
        (share >= FAIL_SHARE, failed, "MISSING_KEYS"),
        (share >= WARN_SHARE, warned, "MISSING_KEYS"),
        (bool(facts.absent), warned, "NOTHING_DELIVERED"),
        (share > 0, CheckStatus.PASSED, "FEW_MISSING_KEYS"),
        (True, CheckStatus.PASSED, "KEYS_WHOLE"),
    )
    return next((status, reason) for is_so, status, reason in found if is_so)


def _describe(facts: KeyFacts, share: float) -> str:
    if facts.repeated_units > 0:
        units = format_count(facts.repeated_units, "unit")
        return f"{units} counted more than once in the analysis set."
    if facts.unregistered_units > 0:
        units = format_count(facts.unregistered_units, "unit")
        return f"{units} analysed in an arm that the registry does not know."
    if not facts.has_match:
        return "No outcome belongs to an exposed unit: the identifiers do not match."
    found = []
    missing = sum(facts.missing.values())
    if missing > 0:
        found.append(
            f"{format_count(missing, 'row')} without a key left out "
            f"(at most {format_share(share)} of a table)."
        )
    if facts.absent:
        found.append(_name_absent(facts))
    return " ".join(found) or "Every row has its keys and every unit stands once."


def _name_absent(facts: KeyFacts) -> str:
    named = [
        repr(name) + (f" ({did_you_mean(name, known)})" if known else "")
        for name, known in list(facts.absent.items())[:_MOST_NAMED]
    ]
    if len(facts.absent) > _MOST_NAMED:
        named.append(f"{len(facts.absent) - _MOST_NAMED} more")
    return f"No row that counts was delivered of {join_words(named)}."
