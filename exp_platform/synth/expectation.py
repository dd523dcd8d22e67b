"""What the analysis of a scenario must conclude: the first rule that applies.

Checks are named as in `checks.catalogue`, reasons as in `decision.reasons`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exp_platform.config import Scenario
from exp_platform.records import AnalysisPlan, Outcome, Verdict

_CROSSOVER_FAILS = 0.10
_CAUTION_SHARE = 0.01  # of rows or units: from here on a check warns
_UNTRUSTED = (Verdict.DO_NOT_USE,)
_CAUTION = (Verdict.CAUTION,)
_TRUSTED = (Verdict.TRUSTED, Verdict.CAUTION)
_REVIEW = (Outcome.REVIEW,)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The right outcome of an analysis.

    Attributes:
        check: name of the check that must find the cause, "" for none.
        reason: coded reason the decision must carry, "" for any.
        verdicts, decisions: those that are right.
    """

    check: str
    reason: str
    verdicts: tuple[Verdict, ...]
    decisions: tuple[Outcome, ...]


def find_expectation(scenario: Scenario, smallest_arm: int) -> Expectation:
    """Which outcome is right for a scenario?

    Rules that forbid SHIP stand first; several modes at once are judged by the
    gravest.

    Args:
        scenario: the scenario.
        smallest_arm: exposed units of the smallest arm.
    """
    needed = scenario.plan.get("min_units_per_arm", AnalysisPlan(()).min_units_per_arm)
    if smallest_arm < needed:
        return Expectation("MINIMUM_DATA", "INSUFFICIENT_DATA", _CAUTION, _REVIEW)
    clean = _decide_clean(scenario)
    rules = (*_list_grave(scenario), *_list_mild(scenario, clean))
    return next(iter(rules), Expectation("", "", _TRUSTED, clean))


def _list_grave(scenario: Scenario) -> Iterator[Expectation]:
    modes = scenario.failure_modes
    if modes.sample_ratio_mismatch > 0:
        yield Expectation("SRM", "SRM_FAILED", _UNTRUSTED, _REVIEW)
    if modes.crossover_share >= _CROSSOVER_FAILS:
        yield Expectation("CROSSOVER", "CROSSOVER_FAILED", _UNTRUSTED, _REVIEW)
    if modes.trend_drift != 0 and scenario.assignment == "policy":
        yield Expectation("PRETREND", "PRETREND_FAILED", _UNTRUSTED, _REVIEW)
    if modes.guardrail_degradation > 0:
        yield Expectation("", "GUARDRAIL_DEGRADED", _TRUSTED, (Outcome.ROLL_BACK,))


def _list_mild(scenario: Scenario, clean: tuple[Outcome, ...]) -> Iterator[Expectation]:
    """Modes that cost power or ask for a second look."""
    modes = scenario.failure_modes
    or_review = tuple(dict.fromkeys((*clean, *_REVIEW)))
    if modes.trend_drift != 0:
        yield Expectation("PRETREND", "", _TRUSTED, tuple(Outcome))
    if modes.missing_pre_period:
        yield Expectation("PRE_PERIOD_PRESENT", "", _CAUTION, or_review)
    if modes.crossover_share >= _CAUTION_SHARE:
        yield Expectation("CROSSOVER", "", _CAUTION, or_review)
    if modes.bot_share >= _CAUTION_SHARE:
        yield Expectation("BOTS", "", _CAUTION, or_review)
    if modes.outlier_value is not None:
        yield Expectation("OUTLIER", "", _CAUTION, or_review)
    if modes.novelty_half_life_days is not None:
        check = "NOVELTY" if scenario.effect_lift_conversion != 0 else ""
        yield Expectation(check, "", _TRUSTED, or_review)
    yield from _list_delivered(scenario, clean)
    if scenario.assignment == "policy":
        yield Expectation("PRETREND", "", _TRUSTED, or_review)


def _list_delivered(
    scenario: Scenario, clean: tuple[Outcome, ...]
) -> Iterator[Expectation]:
    """Modes of the way to the files: seen, and where possible repaired."""
    modes = scenario.failure_modes
    if modes.duplicate_share >= _CAUTION_SHARE:
        yield Expectation("DUPLICATES", "", _CAUTION, clean)
    if modes.late_share >= _CAUTION_SHARE:
        yield Expectation("LATE_DATA", "", _CAUTION, clean)
    if modes.missing_day is not None or modes.spike_day is not None:
        or_review = tuple(dict.fromkeys((*clean, *_REVIEW)))
        yield Expectation("METRIC_ANOMALY", "", _CAUTION, or_review)


def _decide_clean(scenario: Scenario) -> tuple[Outcome, ...]:
    """The right decisions on the same experiment if nothing had gone wrong."""
    if scenario.observed_days not in (None, scenario.days):
        return (Outcome.KEEP_RUNNING, *_decide_whole(scenario))
    return _decide_whole(scenario)


def _decide_whole(scenario: Scenario) -> tuple[Outcome, ...]:
    if scenario.effect_lift_conversion < 0 or scenario.effect_sessions < 0:
        return (Outcome.ROLL_BACK, Outcome.REVIEW)
    if scenario.effect_lift_conversion > 0:
        return (Outcome.SHIP,)
    return _REVIEW
