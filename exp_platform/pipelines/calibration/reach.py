"""Which functions of `stats` and `causal` the simulations put to the test."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType

from exp_platform import causal, stats
from exp_platform.pipelines.calibration.gate import Simulation
from exp_platform.pipelines.calibration.registry import name_of

SUMS = "sums over units, without an error rate; tested against numpy"
ALGEBRA = "algebra without an error rate; tested against its definition"
ROUTING = "chooses a method and gives no number; every rule is a tested row"
REFUSAL = "part of a row without numbers"
STORED = "moves numbers that were computed elsewhere into a row"
REASONS = {
    "causal.adjusted_rules.list_adjusted": ROUTING,
    "causal.choice_rules.came_by": ROUTING,
    "causal.choice_rules.has_fewer_clusters": ROUTING,
    "causal.choice_rules.is_quantile": ROUTING,
    "causal.choice_rules.is_ratio": ROUTING,
    "causal.covariates.encode_covariates": ALGEBRA,
    "stats.seeds.derive_seed": ALGEBRA,
    "causal.cohort_totals.split_clusters": SUMS,
    "causal.effect.stop_effect": REFUSAL,
    "causal.period_totals.days_of_cohort": SUMS,
    "causal.panel_data.average_periods": SUMS,
    "causal.identification.choose_methods": ROUTING,
    "causal.identification.refuse_method": ROUTING,
    "causal.instrument.compliance_of_totals": SUMS,
    "causal.panel_rules.choose_panel_methods": ROUTING,
    "causal.sensitivity.note_sensitivity": STORED,
    "stats.bayes.base_draft": REFUSAL,
    "stats.lift.withhold_interval": REFUSAL,
    "stats.moments.summarise_units": SUMS,
    "stats.outlier.assess_outliers": ALGEBRA,
    "stats.power.find_ship_power": "the chance by which find_units chooses, at given units",
    "stats.regression.summarise_adjustment": SUMS,
}
"""Public functions that no simulation calls, and why."""


def public_functions() -> dict[str, Callable[..., object]]:
    """Every public function of `stats` and `causal` by `room.module.function`."""
    modules = [module for room in (stats, causal) for module in _modules_of(room)]
    return {
        name_of(function): function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and (function.__module__, function.__name__) == (module.__name__, name)
    }


def covered_by(simulations: Iterable[Simulation]) -> dict[str, list[str]]:
    """Names of the simulations by the function they put to the test."""
    found: dict[str, list[str]] = {}
    for simulation in simulations:
        for function in simulation.covers:
            found.setdefault(name_of(function), []).append(simulation.name)
    return dict(sorted(found.items()))


def _modules_of(room: ModuleType) -> list[ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(room.__path__)]
    return [importlib.import_module(f"{room.__name__}.{name}") for name in names]
