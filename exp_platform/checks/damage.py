"""How far a broken split could have moved the effect on a proportion.

The units an arm lacks, measured by the arm that is fullest for its plan, are taken
to be all converters or none of them. Nothing is assumed about why they are missing.
"""

from dataclasses import asdict, dataclass
from typing import Any

from exp_platform.checks.facts import SplitFacts


@dataclass(frozen=True, slots=True)
class Damage:
    """Bounds of the difference of one proportion, had no unit been missing.

    Attributes:
        difference: treatment - control as observed.
        lower, upper: with the missing units none or all converters.
        missing: units that arms of this comparison lack.
    """

    metric_name: str
    treatment: str
    difference: float
    lower: float
    upper: float
    missing: int

    @property
    def size(self) -> float:
        """Largest distance of a bound from the difference observed."""
        return max(self.difference - self.lower, self.upper - self.difference)

    def as_details(self) -> dict[str, Any]:
        """As a row's extras."""
        return asdict(self)


def bound_damage(facts: SplitFacts) -> Damage | None:
    """The comparison that the missing units could move furthest.

    Args:
        facts: the split, with the rates of the goal proportions by arm.

    Returns:
        None without a proportion, or without missing units.
    """
    missing = _count_missing(facts)
    rates = {(rate.metric_name, rate.variant): rate.rate for rate in facts.rates}
    found = []
    for (metric_name, treatment), rate in rates.items():
        base = rates.get((metric_name, facts.control))
        if treatment == facts.control or base is None:
            continue
        low, high = _bound_rate(facts, treatment, rate, missing=missing)
        base_low, base_high = _bound_rate(facts, facts.control, base, missing=missing)
        found.append(
            Damage(
                metric_name=metric_name,
                treatment=treatment,
                difference=rate - base,
                lower=low - base_high,
                upper=high - base_low,
                missing=round(
                    missing.get(treatment, 0.0) + missing.get(facts.control, 0.0)
                ),
            )
        )
    worst = max(found, key=lambda damage: damage.size, default=None)
    return worst if worst is not None and worst.size > 0 else None


def _count_missing(facts: SplitFacts) -> dict[str, float]:
    """Units each arm lacks, if the arm that is fullest for its plan lacks none."""
    planned = {arm: share for arm, share in facts.planned.items() if share > 0}
    fullest = max(
        (facts.observed.get(arm, 0) / share for arm, share in planned.items()),
        default=0.0,
    )
    return {
        arm: share * fullest - facts.observed.get(arm, 0)
        for arm, share in planned.items()
    }


def _bound_rate(
    facts: SplitFacts, arm: str, rate: float, *, missing: dict[str, float]
) -> tuple[float, float]:
    n, lacking = facts.observed.get(arm, 0), missing.get(arm, 0.0)
    if n + lacking <= 0:
        return 0.0, 1.0
    return n * rate / (n + lacking), (n * rate + lacking) / (n + lacking)
