"""Days on which a metric does not look like itself, or like the other arms."""

from dataclasses import asdict

from exp_platform.checks.facts import AnomalyFacts, UnusualDay
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_count
from exp_platform.records import CheckResult, CheckStatus

MOST_TOLD = 50
"""Unusual days that are kept with the result; the table has them all."""

_GRAVITY = ("MISSING_DAY", "ZERO", "DROP", "SPIKE")
_WORDS = {
    "MISSING_DAY": "a day without any outcome",
    "ZERO": "an arm without any outcome",
    "DROP": "a drop",
    "SPIKE": "a spike",
}


def check_metric_anomaly(facts: AnomalyFacts) -> CheckResult:
    """Did tracking break, or count twice, on some day of the experiment?

    The rule is that of the SQL model `metric_anomalies`, which looks at whole days and
    units exposed earlier: a day without any active unit where 20 were expected, or six
    robust standard deviations and a factor of two from the seven days before (or from
    the other arms).

    Args:
        facts: unusual days that the model found.
    """
    found = sorted(facts.days, key=_rank)
    status = CheckStatus.WARNED if found else CheckStatus.PASSED
    worst = found[0] if found else None
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="METRIC_ANOMALY",
        status=status,
        reason=worst.reason if worst else "DAYS_AS_USUAL",
        message=_describe(facts, found),
        value=worst.score if worst else None,
        threshold=worst.threshold if worst else None,
        details={
            "n_found": len(found),
            "found": [asdict(day) for day in found[:MOST_TOLD]],
        },
    )


def _rank(day: UnusualDay) -> tuple[int, float, str, str, str]:
    """The gravest first; among equals the largest score, then the earliest."""
    gravity = _GRAVITY.index(day.reason)
    return gravity, -abs(day.score), day.day, day.metric_name, day.variant


def _describe(facts: AnomalyFacts, found: list[UnusualDay]) -> str:
    if not found:
        metrics = format_count(facts.n_metrics, "metric")
        return f"No day stands out in the history of {metrics}, or between the arms."
    days = sorted({day.day for day in found})
    worst = found[0]
    return (
        f"{format_count(len(days), 'unusual day')}: {', '.join(days[:3])}"
        f"{' and more' if len(days) > 3 else ''}. The gravest is {_WORDS[worst.reason]} "
        f"in {worst.metric_name}, {worst.variant}, on {worst.day}: "
        f"{format_measure(worst.value)} per unit where {format_measure(worst.expected)} "
        "was expected."
    )
