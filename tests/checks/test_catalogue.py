"""Every check is documented, and every check function says what the catalogue says."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import exp_platform.checks
from exp_platform.checks.catalogue import (
    CATALOGUE,
    Chance,
    checks_not_run,
    required_checks,
)
from exp_platform.records import (
    AnalysisPlan,
    Assignment,
    CheckStatus,
    ExperimentSpec,
    Variant,
)

ROOM = Path(exp_platform.checks.__file__).parent


def names_in_code():
    """Values of `check_name=` in the room's modules, with their `can_fail=`."""
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                words = {k.arg: k.value for k in node.keywords}
                name = words.get("check_name")
                if isinstance(name, ast.Constant):
                    yield name.value, words.get("can_fail")


def test_every_check_in_code_is_in_the_catalogue_and_back():
    assert {name for name, _ in names_in_code()} == set(CATALOGUE)


def test_what_can_fail_in_code_can_fail_in_the_catalogue():
    for name, can_fail in names_in_code():
        assert (can_fail is not None) == CATALOGUE[name].can_fail, name


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=str)
def test_every_entry_has_its_words(entry):
    for words in (entry.protects_against, entry.rule, entry.next_step):
        assert words.endswith(".")
        assert len(words) > 20
    has_own_level = entry.chance in (Chance.OWN_RULE, Chance.FAMILY)
    assert (entry.level > 0) == has_own_level


def spec(assignment):
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return ExperimentSpec(
        "e",
        start,
        start + timedelta(days=7),
        start,
        (Variant("A", 0.5), Variant("B", 0.5)),
        "A",
        AnalysisPlan(()),
        assignment=assignment,
    )


@pytest.mark.parametrize(
    ("assignment", "is_did", "names"),
    [
        (Assignment.RANDOMISED, False, ("SRM", "SQL_TWIN", "KEYS", "CROSSOVER")),
        (
            Assignment.RANDOMISED,
            True,
            ("SRM", "SQL_TWIN", "KEYS", "CROSSOVER", "PRETREND"),
        ),
        (Assignment.POLICY, True, ("KEYS", "CROSSOVER", "PRETREND")),
        (Assignment.POLICY, False, ("KEYS", "CROSSOVER", "PRETREND")),
        (Assignment.SELF_SELECTED, False, ("KEYS", "CROSSOVER")),
    ],
)
def test_required_checks_by_design(assignment, is_did, names):
    assert required_checks(spec(assignment), is_did_primary=is_did) == names
    assert all(CATALOGUE[name].can_fail for name in names)


def test_checks_not_run_blocks_only_what_is_required():
    results = checks_not_run(["SRM", "PRETREND", "BOTS"], "e", required=["SRM"])
    assert [check.can_fail for check in results] == [True, False, False]
    assert {check.status for check in results} == {CheckStatus.NOT_RUN}
    assert {check.reason for check in results} == {"SKIPPED"}
