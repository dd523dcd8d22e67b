"""How several looks at one comparison share an error rate: one interface, three rules.

A rule knows the units at each look; it turns the z of any test at these looks into
p-values that are valid at all of them, and into the bounds they are held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from exp_platform.records import Estimate
from exp_platform.stats.boundary import Sides
from exp_platform.stats.confidence_sequence import tune_mixture
from exp_platform.stats.inference import Array
from exp_platform.stats.looks import (
    Look,
    LookStatus,
    Schedule,
    SequentialPlan,
    schedule_looks,
)
from exp_platform.stats.mixture import always_valid_p, critical_mixture
from exp_platform.stats.repeated import normal_statistic, widen_interval
from exp_platform.stats.sequential_p import read_boundary, track_sequential_p
from exp_platform.stats.spending import Spending, spend_alpha
from exp_platform.stats.stagewise import estimate_stopped


@dataclass(frozen=True, slots=True)
class LookReading:
    """Tests with the same looks, read by a rule.

    Attributes:
        p_values: shape (n_tests, n_looks), never rising; 1 before the first look.
        critical: normal standard errors, shape (n_looks,); infinite without a test.
        statuses: what each look was used for.
        is_final: nothing is left to be spent.
    """

    p_values: Array
    critical: Array
    statuses: tuple[LookStatus, ...]
    is_final: bool


class LookRule(Protocol):
    """A way to look several times."""

    def read(
        self, statistics: Array, alpha: float, sides: Sides, *, is_harm: bool = False
    ) -> LookReading:
        """What do the statistics at the looks so far prove?

        Args:
            statistics: z, shape (n_tests, n_looks); NaN at a look without a number.
                One-sided tests prove that z is large.
            alpha: error rate over all looks.
            sides: 1 or 2.
            is_harm: a test of harm, which may spend in its own way.
        """

    def statistic(self, estimate: Estimate) -> float | None:
        """Normal z of one look's row."""

    def widen(self, estimate: Estimate, critical: float) -> Estimate:
        """The row with the interval of the look."""

    def describe(self, alpha: float) -> tuple[dict[str, Any], ...]:
        """Where each look stands."""

    def describe_stop(
        self, estimates: Sequence[Estimate], reading: LookReading, crossing: int | None
    ) -> dict[str, Any]:
        """What is known about the effect after a stop; empty while it goes on."""


@dataclass(frozen=True, slots=True)
class GroupSequentialRule:
    """Error rate spent over registered looks.

    Attributes:
        looks: units and elapsed shares at each look.
        plan: as registered.
        harm_spending: how tests of harm spend theirs.
    """

    looks: tuple[Look, ...]
    plan: SequentialPlan
    harm_spending: Spending

    def read(
        self, statistics: Array, alpha: float, sides: Sides, *, is_harm: bool = False
    ) -> LookReading:
        """See `LookRule`."""
        schedule = self._schedule(statistics)
        spending = self.harm_spending if is_harm else self.plan.spending
        return LookReading(
            track_sequential_p(statistics, schedule, spending, sides=sides),
            read_boundary(schedule, spending, alpha, sides=sides),
            schedule.statuses,
            schedule.is_final,
        )

    def statistic(self, estimate: Estimate) -> float | None:
        """See `LookRule`."""
        return normal_statistic(estimate)

    def widen(self, estimate: Estimate, critical: float) -> Estimate:
        """See `LookRule`."""
        return widen_interval(estimate, critical)

    def describe(self, alpha: float) -> tuple[dict[str, Any], ...]:
        """See `LookRule`."""
        times = schedule_looks(self.looks, self.plan).times
        spent = 2 * spend_alpha(self.plan.spending, np.array([alpha]), times)[0]
        planned = self.plan.planned_units
        whole = None if planned is None else Look(*planned).information
        return tuple(
            {
                "spending": self.plan.spending.kind,
                "spending_time": float(time),
                "alpha_spent": float(share),
                "information_share": look.information / whole if whole else None,
            }
            for look, time, share in zip(self.looks, times, spent, strict=True)
        )

    def describe_stop(
        self, estimates: Sequence[Estimate], reading: LookReading, crossing: int | None
    ) -> dict[str, Any]:
        """See `LookRule`."""
        z = np.array([_number(self.statistic(e)) for e in estimates])
        schedule = self._schedule(z[None, :])
        tested = schedule.tested
        if not tested.size or (crossing is None and not reading.is_final):
            return {}
        look = int(tested[-1]) if crossing is None else crossing - 1
        found = estimate_stopped(
            schedule,
            self.plan.spending,
            (look, float(z[look])),
            alpha=estimates[look].alpha,
        )
        error = estimates[look].standard_error or 0.0
        return {
            "stop_look": look + 1,
            "stop_estimate": found.median * error,
            "stop_ci_lower": found.lower * error,
            "stop_ci_upper": found.upper * error,
            "stop_p_value": found.p_value,
        }

    def _schedule(self, statistics: Array) -> Schedule:
        looks = [
            replace(look, is_usable=known)
            for look, known in zip(self.looks, _find_known(statistics), strict=True)
        ]
        return schedule_looks(looks, self.plan)


@dataclass(frozen=True, slots=True)
class MixtureRule:
    """Evidence that may be looked at for ever: a confidence sequence, or an mSPRT.

    Attributes:
        looks: units and elapsed shares at each look.
        tuned_units: units of an equal split at which the sequence is tightest.
        errors: standard errors at the looks; NaN where there is none.
        mixture_sd: of the effects an mSPRT mixes over; None = a confidence sequence.
        min_units: matured units an arm needs before the first look.
    """

    looks: tuple[Look, ...]
    tuned_units: float
    errors: Array
    mixture_sd: float | None
    min_units: int

    def read(
        self,
        statistics: Array,
        alpha: float,
        sides: Sides,
        *,
        is_harm: bool = False,  # noqa: ARG002 - harm is no different here
    ) -> LookReading:
        """See `LookRule`."""
        ratio = self._ratio(alpha, sides)
        statuses = self._judge(statistics)
        is_tested = np.array([status is LookStatus.TESTED for status in statuses])
        known = np.where(is_tested, statistics, np.nan)
        critical = critical_mixture(ratio, alpha, sides=sides)
        elapsed = [look.elapsed or 0.0 for look in self.looks]
        return LookReading(
            always_valid_p(known, ratio, sides=sides),
            np.where(is_tested, critical, np.inf),
            statuses,
            max(elapsed) >= 1,
        )

    def statistic(self, estimate: Estimate) -> float | None:
        """See `LookRule`."""
        error, difference = estimate.standard_error, estimate.difference
        if not estimate.is_ok or not error or difference is None:
            return None
        return difference / error

    def widen(self, estimate: Estimate, critical: float) -> Estimate:
        """See `LookRule`."""
        return widen_interval(estimate, critical, is_normal=True)

    def describe(self, alpha: float) -> tuple[dict[str, Any], ...]:
        """See `LookRule`."""
        return tuple(
            {"mixture_ratio": float(ratio), "tuned_units": self.tuned_units}
            for ratio in self._ratio(alpha, 2)
        )

    def describe_stop(
        self, estimates: Sequence[Estimate], reading: LookReading, crossing: int | None
    ) -> dict[str, Any]:
        """See `LookRule`: its intervals hold at any stop."""
        del estimates, reading, crossing
        return {}

    def _ratio(self, alpha: float, sides: Sides) -> Array:
        """Variance of the mixture over that of the estimate, at each look."""
        if self.mixture_sd is not None:
            ratio = (self.mixture_sd / self.errors) ** 2
            return np.asarray(np.nan_to_num(ratio, nan=1e-300))
        units = np.array([4 * look.information for look in self.looks])
        rho2 = tune_mixture(self.tuned_units, alpha, sides=sides)
        return np.asarray(np.maximum(units, 1.0) * rho2)

    def _judge(self, statistics: Array) -> tuple[LookStatus, ...]:
        return tuple(
            LookStatus.TOO_FEW_UNITS
            if min(look.n_control, look.n_treatment) < self.min_units
            else (LookStatus.TESTED if known else LookStatus.NO_ESTIMATE)
            for look, known in zip(self.looks, _find_known(statistics), strict=True)
        )


def _find_known(statistics: Array) -> list[bool]:
    """Looks at which every test has a number."""
    return [bool(np.isfinite(column).all()) for column in statistics.T]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
