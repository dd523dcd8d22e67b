"""Units that met more than one arm (METHODS section 1)."""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import CrossoverFacts
from exp_platform.checks.homogeneity import compare_shares
from exp_platform.checks.wording import format_count, format_p, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01
FAIL_SHARE = 0.1
FAIL_P = 0.001


def check_crossover(facts: CrossoverFacts) -> CheckResult:
    """Did many units meet several arms, or more from one arm than from another?

    Args:
        facts: units and crossed units by arm of first exposure.
    """
    units = sum(facts.units.values())
    if units <= 0:
        return checks_not_run(
            ["CROSSOVER"],
            facts.experiment_id,
            reason="NO_UNITS",
            message="No unit was exposed.",
        )[0]
    crossed = sum(facts.crossed.values())
    share = crossed / units
    p_value = compare_shares(*_ordered(facts))
    status, reason, threshold = _judge(share, p_value)
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="CROSSOVER",
        status=status,
        reason=reason,
        message=_describe(facts, crossed, p_value=p_value),
        value=share,
        threshold=threshold,
        p_value=p_value,
        can_fail=True,
        details={
            "units": dict(facts.units),
            "crossed": dict(facts.crossed),
            "tied": dict(facts.tied),
        },
    )


def _ordered(facts: CrossoverFacts) -> tuple[dict[str, int], dict[str, int]]:
    """Units and crossed units of which it is known which arm they met first."""
    units, crossed = (
        {arm: n - facts.tied.get(arm, 0) for arm, n in counts.items()}
        for counts in (facts.units, facts.crossed)
    )
    return units, crossed


def _judge(share: float, p_value: float | None) -> tuple[CheckStatus, str, float]:
    if share >= FAIL_SHARE:
        return CheckStatus.FAILED, "MANY_CROSSED", FAIL_SHARE
    if p_value is not None and p_value < FAIL_P:
        return CheckStatus.FAILED, "CROSSED_UNEQUALLY", WARN_SHARE
    if share >= WARN_SHARE:
        return CheckStatus.WARNED, "SOME_CROSSED", WARN_SHARE
    return CheckStatus.PASSED, "FEW_CROSSED", WARN_SHARE


def _describe(facts: CrossoverFacts, crossed: int, *, p_value: float | None) -> str:
    units = sum(facts.units.values())
    if crossed == 0:
        return f"None of {format_count(units, 'unit')} met more than one arm."
    whole = f"{format_share(crossed / units)} of units met more than one arm"
    tied = sum(facts.tied.values())
    unknown = f"for {tied:,} it is not known which one first" if tied else ""
    if tied == crossed:
        return f"{whole} ({unknown})."
    known_units, known = _ordered(facts)
    by_arm = ", ".join(
        f"{format_share(known.get(arm, 0) / n)} of {arm}"
        for arm, n in known_units.items()
        if n > 0
    )
    equal = "" if p_value is None else f"; same in all arms: {format_p(p_value)}"
    return f"{whole} ({by_arm}{equal}{'; ' * bool(tied)}{unknown})."
