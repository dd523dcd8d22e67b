"""`make calibrate`: its table, its page, its exit codes."""

import re
from pathlib import Path

import pytest

from exp_platform.errors import UsageError
from exp_platform.pipelines import calibrate as command
from exp_platform.pipelines.calibrate import calibrate, describe_rows
from exp_platform.pipelines.calibration.gate import Simulation, equal
from exp_platform.pipelines.calibration.judge import run_simulation
from exp_platform.pipelines.calibration.page import TITLES, describe_bound
from exp_platform.pipelines.calibration.reach import REASONS, covered_by
from exp_platform.pipelines.calibration.registry import N_GATES, SIMULATIONS

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"


def read_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(TITLES, row, strict=True)) for row in cells if len(row) > 5]


def test_the_page_shows_every_gate_and_all_pass():
    found = [
        (row["gate"].strip("`"), row["quantity"], row["must be"], row["result"])
        for row in read_rows(PAGE.read_text("utf-8"))
    ]
    expected = [
        (simulation.name, gate.quantity, describe_bound(gate), "pass")
        for simulation in SIMULATIONS
        for gate in simulation.gates
    ]
    assert found == expected, "run `make calibrate`"


def test_the_page_was_made_with_all_experiments():
    runs = {simulation.name: simulation.runs for simulation in SIMULATIONS}
    seen = {}
    for row in read_rows(PAGE.read_text("utf-8")):
        name = row["gate"].strip("`")
        seen[name] = max(seen.get(name, 0), int(row["runs"].replace(",", "")))
    short = {name: n for name, n in seen.items() if n < 0.4 * runs[name]}
    assert not short


def test_the_page_names_functions_and_reasons():
    text = PAGE.read_text("utf-8")
    named = set(re.findall(r"^\| `([a-z_]+\.[a-z_.]+)` \|", text, flags=re.MULTILINE))
    covered = covered_by(SIMULATIONS).keys()
    assert covered <= named
    # A function that needs no simulation is named when the page is next made.
    assert named - covered <= REASONS.keys()
    assert len(named - covered) > 10


def test_command_prints_the_chosen_gates(call):
    answer = call(
        command.main, "calibrate", "--only", "welch_normal", "--short", "--jobs", "1"
    )
    assert answer.code == 0
    assert "`welch_normal`" in answer.out
    assert "3 of 3 gates pass" in answer.out


def test_command_by_exp_is_the_same(call):
    from exp_platform.cli import main

    answer = call(main, "exp", "calibrate", "--only", "z_test", "--short")
    assert answer.code == 0
    assert "2 of 2 gates pass" in answer.out


def test_other_seed_draws_other_experiments():
    rows = [
        calibrate(only=["z_test"], short=True, seed=seed, jobs=1) for seed in (0, 1, 1)
    ]
    assert rows[0][0].value != rows[1][0].value == rows[2][0].value


def test_processes_change_nothing():
    # the second one draws with a closure, which no other process can be sent
    names = ["z_test", "spending_pocock"]
    alone, together = (calibrate(only=names, short=True, jobs=n) for n in (1, 2))
    assert [row.value for row in alone] == [row.value for row in together]
    assert [row.name for row in together] == [row.name for row in alone]
    assert [row.simulation.name for row in together] == [names[0]] * 2 + [names[1]] * 3


def test_unknown_gate_is_refused(call):
    answer = call(command.main, "calibrate", "--only", "welch_normall")
    assert answer.code == UsageError.exit_code
    assert "welch_normal" in answer.err


@pytest.mark.parametrize(
    "part", [{"only": ["z_test"]}, {"short": True}, {"seed": 3}], ids=str
)
def test_part_of_the_table_is_no_page(part, tmp_path):
    page = tmp_path / "page.md"
    with pytest.raises(UsageError):
        calibrate(output=page, **part)
    assert not page.exists()


def test_failed_gate_is_told():
    gates = (equal("x", 0.5, 0.01, "a reason"),)
    simulation = Simulation(
        "made_up",
        "a method",
        "some data",
        (),
        gates,
        1000,
        10,
        lambda random, runs: {"x": random.random(runs) < 0.6},
    )
    told = describe_rows(run_simulation(simulation, N_GATES))
    assert "**FAIL**" in told
    assert "slack 0.01: a reason" in told
    assert "FAIL made_up: x" in told
    assert "0 of 1 gates pass" in told
