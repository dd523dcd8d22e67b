"""What is true about a synthetic experiment, and what its analysis must conclude."""

from dataclasses import asdict
from typing import Any

import numpy as np

from exp_platform.config import FailureModes
from exp_platform.synth.arrays import Flags, Floats
from exp_platform.synth.behaviour import Scene
from exp_platform.synth.effect import find_purchase_share
from exp_platform.synth.expectation import find_expectation
from exp_platform.synth.rhythm import DAY_MS


def build_truth(experiment_id: str, scene: Scene) -> dict[str, Any]:
    """Write down the true effects, the modes in force and the outcome expected.

    Effects are expectations over all chance but the visits: on all exposed users of
    a randomised experiment, on those of treated markets in a roll-out.
    """
    scenario = scene.scenario
    exposed = scene.exposures.is_exposed
    treated = exposed & scene.population.is_treated
    is_policy = scenario.assignment == "policy"
    n_treated = int(np.count_nonzero(treated))
    n_control = int(np.count_nonzero(exposed)) - n_treated
    return {
        "experiment_id": experiment_id,
        "seed": scenario.seed,
        "estimand": "ATT" if is_policy else "ATE",
        "n_exposed": {
            "control": n_control,
            "treatment": n_treated,
        },
        "effects": _find_effects(scene, treated if is_policy else exposed),
        "failure_modes": list_modes(scenario.failure_modes),
        "expected": asdict(find_expectation(scenario, min(n_control, n_treated))),
    }


def list_modes(modes: FailureModes) -> dict[str, Any]:
    """The failure modes that are on, with their values."""
    return modes.model_dump(exclude_defaults=True)


def _find_effects(scene: Scene, who: Flags) -> dict[str, Any]:
    """Effects on the flagged users, shape of `who` (n_users,)."""
    visits, n = scene.visits, scene.population.n_users
    after = scene.exposures.is_after(visits)
    worlds = (scene.hazards.control, scene.hazards.treatment)
    converts, spends, buys = [], [], []
    for hazards in worlds:
        purchase = find_purchase_share(hazards) * after
        hazard = visits.sum_by_user(hazards * after, n)
        bought = visits.sum_by_user(purchase, n)
        converts.append(_mean(find_purchase_share(hazard), who))
        buys.append(_mean(bought, who))
        spends.append(
            _mean(bought * scene.population.order_scale, who)
            * scene.scenario.revenue_mean
        )
    n_days = _mean(_find_days_after(scene), who)
    return {
        "conversion": _contrast(*converts),
        "revenue_per_user": _contrast(*spends),
        "purchases_per_user_day": _contrast(*(b / n_days for b in buys)),
        "sessions_per_user": {"relative": scene.scenario.effect_sessions},
        "support_contacts_per_user": {
            "relative": scene.scenario.failure_modes.guardrail_degradation
        },
    }


def _find_days_after(scene: Scene) -> Floats:
    at_ms = np.minimum(scene.exposures.at_ms, scene.rhythm.end_ms - 1)
    return (scene.rhythm.end_ms - at_ms) / DAY_MS


def _mean(values: Floats, who: Flags) -> float:
    return float(np.mean(values[who]))


def _contrast(control: float, treatment: float) -> dict[str, float | None]:
    difference = treatment - control
    return {
        "control": control,
        "treatment": treatment,
        "absolute": difference,
        "relative": difference / control if control > 0 else None,
    }
