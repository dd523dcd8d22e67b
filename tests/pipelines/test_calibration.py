"""The gates of `make calibrate` with fewer experiments, and what they reach."""

import sys
from pathlib import Path

import numpy as np
import pytest

from exp_platform.pipelines.calibration.demands import DEMANDS
from exp_platform.pipelines.calibration.gate import (
    Measured,
    Simulation,
    equal,
    least,
    most,
    uniform,
)
from exp_platform.pipelines.calibration.judge import run_simulation
from exp_platform.pipelines.calibration.reach import (
    REASONS,
    covered_by,
    public_functions,
)
from exp_platform.pipelines.calibration.registry import (
    N_GATES,
    SIMULATIONS,
    name_of,
)

ROOT = Path(__file__).parents[2]


def judge(gate, values, n_gates=1):
    simulation = Simulation(
        "made_up", "", "", (), (gate,), 10, 10, lambda *_: {gate.quantity: values}
    )
    return run_simulation(simulation, n_gates)[0]


def list_caches():
    """What an earlier draw left in them would not be entered again."""
    rooms = [m for name, m in sys.modules.items() if name.startswith("exp_platform.")]
    values = [value for module in rooms for value in vars(module).values()]
    return [value for value in values if hasattr(value, "cache_clear")]


@pytest.mark.calibration
@pytest.mark.parametrize("simulation", SIMULATIONS, ids=lambda one: one.name)
def test_gates_hold_with_fewer_experiments(simulation):
    rows = run_simulation(simulation, N_GATES, short=True)
    failed = [
        f"{row.name}: {row.value:.5f}, {row.gate.bound} {row.gate.nominal}, "
        f"tolerance {row.tolerance:.5f}"
        for row in rows
        if not row.is_passed
    ]
    assert not failed


@pytest.mark.calibration
def test_every_public_function_is_called_or_has_a_reason():
    # Two experiments of each simulation, watching which functions are entered.
    public = public_functions()
    codes = {function.__code__: name for name, function in public.items()}
    called: dict[str, set[str]] = {}
    caches = list_caches()
    for simulation in SIMULATIONS:
        for cached in caches:
            cached.cache_clear()
        entered = set()

        def watch(frame, event, _, entered=entered):
            if event == "call" and frame.f_code in codes:
                entered.add(codes[frame.f_code])

        sys.setprofile(watch)
        try:
            with np.errstate(all="ignore"):
                simulation.draw(simulation.source(), 2)
        finally:
            sys.setprofile(None)
        called[simulation.name] = entered
        promised = {name_of(f) for f in simulation.covers} & public.keys()
        assert promised <= entered, simulation.name
    reached = set().union(*called.values())
    assert public.keys() - reached == REASONS.keys()


def test_estimators_have_a_gate_of_their_own():
    public = public_functions()
    answers = [
        name
        for name, function in public.items()
        if "Estimate" in str(function.__annotations__.get("return"))
        and name.rpartition(".")[2].startswith(("estimate_", "adjust_"))
    ]
    # t(G - 1) with few clusters is only a part of the bootstrap's row.
    parts = {"causal.did.estimate_few_clusters"}
    assert len(answers) >= 25
    assert set(answers) - covered_by(SIMULATIONS).keys() == parts


def test_names_are_unique_and_quantities_are_drawn():
    names = [simulation.name for simulation in SIMULATIONS]
    assert len(set(names)) == len(names)
    for simulation in SIMULATIONS:
        assert simulation.short < simulation.runs
        quantities = [gate.quantity for gate in simulation.gates]
        assert len(set(quantities)) == len(quantities)
        assert quantities


def test_every_disease_has_a_guard_that_exists():
    names = {simulation.name for simulation in SIMULATIONS}
    guards = [g.guard for s in SIMULATIONS for g in s.gates if g.guard is not None]
    assert len(guards) >= 25
    for guard in guards:
        path, _, test = guard.shown_by.partition("::")
        if test:
            text = (ROOT / path).read_text("utf-8")
            assert f"\ndef {test}(" in text, guard.shown_by
        else:
            assert guard.shown_by in names


def test_every_demand_has_simulations():
    names = {simulation.name for simulation in SIMULATIONS}
    assert {name for _, found in DEMANDS for name in found} <= names
    assert all(found for _, found in DEMANDS)


def test_seed_follows_from_the_name():
    first, second = SIMULATIONS[:2]
    draws = [first.source().random(), first.source().random()]
    assert draws[0] == draws[1] != second.source().random()
    assert first.source(1).random() != draws[0]


@pytest.mark.parametrize(
    ("gate", "share", "is_passed"),
    [
        (equal("x", 0.05), 0.05, True),
        (equal("x", 0.05), 0.08, False),
        (equal("x", 0.05), 0.02, False),
        (equal("x", 0.05, 0.03), 0.08, True),
        (most("x", 0.05), 0.01, True),
        (most("x", 0.05), 0.08, False),
        (least("x", 0.8), 0.9, True),
        (least("x", 0.8), 0.7, False),
        (equal("x", 1.0), 1.0, True),
        (equal("x", 1.0), 0.9998, False),
        (equal("x", 0.0), 0.0002, False),
    ],
)
def test_judge_compares_a_share_with_its_bound(gate, share, is_passed):
    values = np.arange(5000) < round(share * 5000)
    row = judge(gate, values)
    assert row.value == pytest.approx(share)
    assert row.runs == 5000
    assert row.is_passed is is_passed


def test_judge_corrects_for_the_number_of_gates():
    values = np.arange(5000) < 250
    one, many = (judge(equal("x", 0.05), values, n).tolerance for n in (1, 300))
    error = np.sqrt(0.05 * 0.95 / 5000)
    # 2.58 and 4.15 standard errors; the skew of few yes adds a hundredth of one.
    assert one == pytest.approx(2.5758 * error, rel=0.06)
    assert many == pytest.approx(4.1465 * error, rel=0.06)


def test_judge_reads_means_ratios_and_distances():
    random = np.random.default_rng(1)
    assert judge(equal("x", 0.0), random.normal(0, 1, 4000)).is_passed
    assert not judge(equal("x", 0.0), random.normal(0.1, 1, 4000)).is_passed
    assert judge(equal("x", 0.64), Measured(0.65, 0.01, 100)).is_passed
    assert not judge(equal("x", 0.64), Measured(0.70, 0.01, 100)).is_passed
    p_values = random.uniform(size=4000)
    assert judge(uniform("x"), p_values).is_passed
    assert not judge(uniform("x"), p_values**1.2).is_passed


@pytest.mark.parametrize("gate", [equal("x", 0.0), most("x", 1.0), uniform("x")])
def test_judge_fails_what_was_never_measured(gate):
    assert not judge(gate, np.array([])).is_passed
    assert not judge(gate, np.array([np.nan, np.nan])).is_passed
