"""Purchase hazards of visits without and with the treatment, fitted to the scenario.

A visit leads to a purchase with probability 1 - exp(-hazard), so a user converts with
probability 1 - exp(-sum of hazards): one scale per world meets the planned share.
"""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.errors import UsageError
from exp_platform.synth.arrays import Flags, Floats
from exp_platform.synth.exposure import Exposures
from exp_platform.synth.market import Markets
from exp_platform.synth.population import Population
from exp_platform.synth.rhythm import DAY_MS, Rhythm
from exp_platform.synth.visit import Visits


@dataclass(frozen=True, slots=True)
class Hazards:
    """Purchase hazards, shape (n_visits,).

    Attributes:
        control, treatment: in a world without and with the treatment, drift aside.
        actual: of the arm the user is in, drift included.
    """

    control: Floats
    treatment: Floats
    actual: Floats


def fit_hazards(
    scenario: Scenario,
    population: Population,
    visits: Visits,
    exposures: Exposures,
    *,
    rhythm: Rhythm,
    markets: Markets | None,
) -> Hazards:
    """Fit the hazards so that the planned shares of exposed users convert.

    Without markets the effect is the one on all exposed users, with markets the one
    on the exposed users of treated markets.

    Raises:
        UsageError: no hazards give the planned shares, or nobody is exposed.
    """
    after = exposures.is_after(visits)
    weight = population.propensity[visits.user] * _market_factor(
        population, visits, rhythm, markets
    )
    decayed = weight * _remaining_effect(scenario, visits, exposures, after)
    n = population.n_users
    base = visits.sum_by_user(weight * after, n)
    gain = visits.sum_by_user(decayed, n)
    everyone = exposures.is_exposed
    target = everyone & population.is_treated if markets is not None else everyone
    _check_somebody(target)
    scale = _fit_control(scenario, base[everyone])
    lift = _fit_lift(scenario, scale * base[target], scale * gain[target])
    control = scale * weight
    treatment = control + (lift - 1) * scale * decayed
    in_treatment = population.is_treated[visits.user]
    actual = np.where(in_treatment, treatment, control)
    actual *= _drift(scenario, visits, in_treatment, rhythm)
    return Hazards(control, treatment, actual)


def find_purchase_share(hazards: Floats) -> Floats:
    """Probability of a purchase at each visit."""
    return -np.expm1(-hazards)


def solve_scale(offset: Floats, slope: Floats, share: float) -> float:
    """Find the scale x >= 0 at which mean(1 - exp(-(offset + x slope))) = share.

    The mean is increasing and concave in x, so Newton's steps from 0 never overshoot.

    Raises:
        UsageError: no such scale.
    """
    lowest = float(np.mean(-np.expm1(-offset)))
    highest = float(np.mean(np.where(slope > 0, 1.0, -np.expm1(-offset))))
    if not lowest - 1e-12 <= share < highest:
        raise UsageError(
            "this conversion cannot be reached",
            found=f"P(conversion) {share:.6g}",
            allowed=f"{lowest:.6g} up to, not including, {highest:.6g}",
            next_step="change base_conversion or effect_lift_conversion",
        )
    scale = 0.0
    for _ in range(500):
        survival = np.exp(-(offset + scale * slope))
        missing = share - (1 - np.mean(survival))
        step = float(missing / np.mean(slope * survival))
        scale += step
        if abs(step) <= 1e-12 * max(scale, 1e-300):
            break
    return max(scale, 0.0)


def _check_somebody(target: Flags) -> None:
    if not target.any():
        raise UsageError(
            "nobody is exposed whom the effect could act on",
            next_step="raise n_users, exposure_rate or treatment_share",
        )


def _fit_control(scenario: Scenario, base: Floats) -> float:
    if scenario.base_conversion == 0:
        return 0.0
    return solve_scale(np.zeros_like(base), base, scenario.base_conversion)


def _fit_lift(scenario: Scenario, base: Floats, gain: Floats) -> float:
    """Factor on hazards right after exposure; it decays with the novelty."""
    if scenario.effect_lift_conversion == 0:
        return 1.0
    converted = float(np.mean(-np.expm1(-base)))
    share = converted + scenario.effect_lift_conversion
    return solve_scale(base - gain, gain, share)


def _market_factor(
    population: Population, visits: Visits, rhythm: Rhythm, markets: Markets | None
) -> Floats | float:
    """Levels add the same on weak and strong weekdays: trends are parallel in levels."""
    if markets is None:
        return 1.0
    market, day = population.market[visits.user], visits.day
    level = markets.level[market] / rhythm.day_weights[day]
    return (1 + level) * markets.shocks[market, day]


def _remaining_effect(
    scenario: Scenario, visits: Visits, exposures: Exposures, after: Flags
) -> Floats:
    half_life = scenario.failure_modes.novelty_half_life_days
    if half_life is None:
        return after.astype(np.float64)
    since = visits.at_ms - np.where(after, exposures.at_ms[visits.user], visits.at_ms)
    return np.where(after, np.exp2(-since / (half_life * DAY_MS)), 0.0)


def _drift(
    scenario: Scenario, visits: Visits, in_treatment: Flags, rhythm: Rhythm
) -> Floats:
    """Factor that grows by the day and is 1 at the start or at the policy."""
    anchor = rhythm.start_ms + (scenario.policy_day or 0) * DAY_MS
    days = (visits.at_ms - anchor) / DAY_MS
    drift = np.maximum(1 + scenario.failure_modes.trend_drift * days, 0.0)
    return np.where(in_treatment, drift, 1.0)
