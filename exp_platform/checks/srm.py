"""Sample ratio mismatch: were the units split as planned (METHODS section 6)?"""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.damage import bound_damage
from exp_platform.checks.facts import SplitFacts
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_count, format_p, format_share
from exp_platform.records import CheckResult, CheckStatus
from exp_platform.stats.srm import (
    CONCENTRATION,
    SplitSequence,
    SplitTest,
    assess_split,
    track_split,
)

FAIL_E = 1000.0
FAIL_P = 0.001
PRACTICAL_DEVIATION = 0.002
SEGMENT_P = 0.05


def check_srm(facts: SplitFacts) -> CheckResult:
    """Were all units split as planned?

    FAILED when the e-value reached 1,000 at any look, or the chi-square p is below
    .001 at the registered end, and some arm is .2 % or more off its plan. WARNED when
    there is such evidence without the size, or the p before the end.

    Args:
        facts: planned shares, observed counts and the looks so far.
    """
    arms = [arm for arm, share in facts.planned.items() if share > 0]
    unplanned = sum(n for arm, n in facts.observed.items() if arm not in arms)
    observed = [facts.observed.get(arm, 0) for arm in arms]
    if len(arms) < 2 or sum(observed) + unplanned <= 0:
        return _not_run("SRM", facts)
    weights = [facts.planned[arm] for arm in arms]
    test = assess_split(observed, weights)
    looks = [[look.get(arm, 0) for arm in arms] for look in facts.looks]
    sequence = track_split(looks or [observed], weights)
    status, reason = _judge(facts, test, sequence)
    if unplanned:
        status, reason = CheckStatus.FAILED, "UNPLANNED_ARM"
    damage = bound_damage(facts)
    is_due = status is not CheckStatus.PASSED and damage is not None
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="SRM",
        status=status,
        reason=reason,
        message=_describe(facts, test, sequence),
        subject=facts.subject,
        value=test.max_deviation,
        threshold=PRACTICAL_DEVIATION,
        p_value=test.p_value,
        impact=damage.size if is_due and damage else None,
        impact_unit=damage.metric_name if is_due and damage else "",
        can_fail=True,
        details={
            "observed": dict(facts.observed),
            "planned": dict(facts.planned),
            "counted": facts.counted,
            "chi_square": test.chi_square,
            "p_method": test.p_method,
            "e_value_max": sequence.e_value_max,
            "p_sequential": sequence.p_value,
            "concentration": CONCENTRATION,
            "looks": len(sequence.e_values),
            "damage": damage.as_details() if is_due and damage else None,
        },
    )


def check_srm_by_segment(facts: SplitFacts) -> CheckResult:
    """Were the units of one segment or stage split as planned? It can only warn.

    The status is by the unadjusted p at .05; `budget.apply_budget` then corrects it
    for all checks that share the budget.

    Args:
        facts: counts of the subset that `subject` names.
    """
    arms = [arm for arm, share in facts.planned.items() if share > 0]
    observed = [facts.observed.get(arm, 0) for arm in arms]
    if len(arms) < 2 or sum(observed) <= 0:
        return _not_run("SRM_BY_SEGMENT", facts)
    test = assess_split(observed, [facts.planned[arm] for arm in arms])
    p_value = 1.0 if test.p_value is None else test.p_value
    is_warned = p_value < SEGMENT_P
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="SRM_BY_SEGMENT",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="SEGMENT_OFF_PLAN" if is_warned else "SEGMENT_AS_PLANNED",
        message=f"{facts.subject}: {_describe_split(facts)}; {format_p(p_value)}.",
        subject=facts.subject,
        value=test.max_deviation,
        threshold=SEGMENT_P,
        p_value=p_value,
        details={"observed": dict(facts.observed), "p_method": test.p_method},
    )


def _judge(
    facts: SplitFacts, test: SplitTest, sequence: SplitSequence
) -> tuple[CheckStatus, str]:
    p_value = 1.0 if test.p_value is None else test.p_value
    is_sure_now = p_value < FAIL_P
    is_sure = sequence.e_value_max >= FAIL_E or (facts.is_complete and is_sure_now)
    is_large = (test.max_deviation or 0.0) >= PRACTICAL_DEVIATION
    if is_sure and is_large:
        return CheckStatus.FAILED, "SPLIT_OFF_PLAN"
    if is_sure:
        return CheckStatus.WARNED, "SPLIT_SLIGHTLY_OFF_PLAN"
    if is_sure_now:
        return CheckStatus.WARNED, "SPLIT_MAY_BE_OFF_PLAN"
    return CheckStatus.PASSED, "SPLIT_AS_PLANNED"


def _describe_split(facts: SplitFacts) -> str:
    whole = sum(share for share in facts.planned.values() if share > 0)
    arms = {**facts.planned, **dict.fromkeys(facts.observed, 0.0), **facts.planned}
    counts = ", ".join(f"{arm} {facts.observed.get(arm, 0):,}" for arm in arms)
    shares = " / ".join(format_share(max(0.0, s) / whole) for s in arms.values())
    return f"{counts} for a plan of {shares}"


def _describe(facts: SplitFacts, test: SplitTest, sequence: SplitSequence) -> str:
    tested = {
        "chi_square": "chi-square",
        "exact_multinomial": "exact multinomial",
        "simulated_multinomial": "simulated multinomial",
    }.get(test.p_method, "no test")
    p_value = "" if test.p_value is None else f" {format_p(test.p_value)}"
    looks = format_count(len(sequence.e_values), "look")
    off = 0.0 if test.max_deviation is None else test.max_deviation
    named = "" if facts.counted == "units" else f"{facts.counted.capitalize()}: "
    return (
        f"{named}{_describe_split(facts)}, at most {format_share(off)} off. "
        f"{tested.capitalize()}{p_value} (fails below 0.001, at the registered end); "
        f"e-value {format_measure(sequence.e_value_max)} over {looks} (fails from 1,000)."
    )


def _not_run(name: str, facts: SplitFacts) -> CheckResult:
    return checks_not_run(
        [name],
        facts.experiment_id,
        reason="NO_SPLIT",
        message="There are not two planned arms with units.",
        subject=facts.subject,
    )[0]
