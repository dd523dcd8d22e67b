"""Looks that were told once and read differently now."""

from exp_platform.checks.facts import RestatedFacts
from exp_platform.checks.wording import join_words
from exp_platform.records import CheckResult, CheckStatus

_TESTS = {
    "effect": "the bound of an effect",
    "harm": "the bound of harm",
    "noninferiority": "its margin",
    "part": "it",
}
_OF_THE_PLAN = {"looks", "rules"}
_CAUSES = {
    "LATE_DATA": "the data of past looks have changed",
    "LATER_WATERMARK": "the one look at it reads all data so far, and they reach further "
    "now; the error rate is that of the first one",
    "PLAN_CHANGED": "the plan was changed after it was told",
    "DEFINITION_CHANGED": "the metric's definition was changed after it was told",
}


def check_restated(facts: RestatedFacts) -> CheckResult:
    """Do past looks still say what a published run said about them?

    Fails where the one look was taken again, on more data, until something was proven.

    Args:
        facts: crossings that have moved, of one metric and arm.
    """
    is_moved = bool(facts.moves)
    status = CheckStatus.WARNED if is_moved else CheckStatus.PASSED
    if facts.cause == "LATER_WATERMARK" and _is_gained(facts):
        status = CheckStatus.FAILED
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="LOOK_RESTATED",
        status=status,
        reason=facts.cause if is_moved else "AS_TOLD",
        message=_describe(facts)
        if is_moved
        else "No crossing is elsewhere than where it was first told.",
        subject=facts.subject,
        value=float(len(facts.moves)),
        threshold=1.0,
        can_fail=True,
        details={
            "moves": [
                {"test": test, "before": before, "now": now}
                for test, before, now in facts.moves
            ]
        },
    )


def _is_gained(facts: RestatedFacts) -> bool:
    """Something is crossed that was not, and it is no harm: that is never kept back."""
    news = {
        test for test, before, now in facts.moves if before is None and now is not None
    }
    return bool(news & {"effect", "noninferiority"}) and "harm" not in news


def _describe(facts: RestatedFacts) -> str:
    told = join_words(_describe_move(*move) for move in facts.moves)
    return f"{told[:1].upper()}{told[1:]}: {_CAUSES[facts.cause]}."


def _describe_move(test: str, before: str | None, now: str | None) -> str:
    if test in _OF_THE_PLAN:
        was, says = (
            f'"{words}"' if words else "nothing of it" for words in (before, now)
        )
        return f"the plan said {was} when first told and says {says} now"
    was, says = (_say(test, state) for state in (before, now))
    return f"{_TESTS[test]} was {was} when first told and is {says} now"


def _say(test: str, state: str | None) -> str:
    if test == "part":
        return state or "no part of the decision"
    return _say_crossed(state)


def _say_crossed(instant: str | None) -> str:
    return f"crossed on {instant[:10]}" if instant else "not crossed"
