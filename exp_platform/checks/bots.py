"""Units that behave like machines, and whether one arm has more of them."""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import BotFacts
from exp_platform.checks.homogeneity import compare_shares
from exp_platform.checks.wording import format_count, format_p, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01
WARN_SHARE_INCLUDED = 0.001
WARN_P = 0.05


def check_bots(facts: BotFacts) -> CheckResult:
    """Are there many bots, or some that stay in the analysis?

    Args:
        facts: units and bots by arm, and whether bots leave the analysis set.
    """
    units, bots = sum(facts.units.values()), sum(facts.bots.values())
    if units <= 0:
        return _not_run("BOTS", facts)
    share = bots / units
    threshold = WARN_SHARE if facts.is_excluded else WARN_SHARE_INCLUDED
    is_warned = share >= threshold
    fate = "left out" if facts.is_excluded else "still counted"
    found = f"{format_count(bots, 'unit')} ({format_share(share)})"
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="BOTS",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason=_reason(facts, is_warned=is_warned),
        message=(
            f"{found} made more than {facts.rows_per_day:,} rows on one day; {fate}."
            if bots
            else f"No unit made more than {facts.rows_per_day:,} rows on one day."
        ),
        value=share,
        threshold=threshold,
        details={"bots": dict(facts.bots), "is_excluded": facts.is_excluded},
    )


def check_bots_by_arm(facts: BotFacts) -> CheckResult:
    """Is the share of bots the same in every arm?

    The status is by the unadjusted p at .05; `budget.apply_budget` then corrects it
    for all checks that share the budget.

    Args:
        facts: units and bots by arm.
    """
    p_value = compare_shares(facts.units, facts.bots)
    if p_value is None:
        return _not_run("BOTS_BY_ARM", facts)
    is_warned = p_value < WARN_P
    by_arm = ", ".join(
        f"{format_share(facts.bots.get(arm, 0) / n)} of {arm}"
        for arm, n in facts.units.items()
        if n > 0
    )
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="BOTS_BY_ARM",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="BOTS_DIFFER" if is_warned else "BOTS_ALIKE",
        message=f"Bots are {by_arm}; same in all arms: {format_p(p_value)}.",
        value=p_value,
        threshold=WARN_P,
        p_value=p_value,
        details={"units": dict(facts.units), "bots": dict(facts.bots)},
    )


def _reason(facts: BotFacts, *, is_warned: bool) -> str:
    if not is_warned:
        return "FEW_BOTS"
    return "MANY_BOTS" if facts.is_excluded else "BOTS_INCLUDED"


def _not_run(name: str, facts: BotFacts) -> CheckResult:
    return checks_not_run(
        [name],
        facts.experiment_id,
        reason="NO_UNITS",
        message="There are not two arms with units to look for bots in.",
    )[0]
