"""`import exp_platform`: the functions for people who live in notebooks."""

import ast
import importlib
import inspect
import math
import statistics
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import exp_platform
from exp_platform import api
from exp_platform.errors import ContractError, UsageError
from exp_platform.records import Estimate, EstimateStatus, MetricTotals

CONTROL = [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]
TREATMENT = [2.0, 2.5, 4.0, 6.0, 7.0, 9.0, 9.5]
DATA = {"arm": ["a"] * 6 + ["b"] * 7, "spend": CONTROL + TREATMENT}


def totals(arm, values):
    mean = statistics.fmean(values)
    return MetricTotals(
        "exp_a", "spend", arm, len(values), mean, statistics.variance(values)
    )


def assert_welch(estimate):
    """Difference, error and degrees of freedom, computed by hand."""
    a = statistics.variance(TREATMENT) / 7
    b = statistics.variance(CONTROL) / 6
    difference = statistics.fmean(TREATMENT) - statistics.fmean(CONTROL)
    # one sum in another order: a few units in the last place
    assert estimate.difference == pytest.approx(difference, rel=1e-13)
    assert estimate.standard_error == pytest.approx(math.sqrt(a + b), rel=1e-13)
    assert estimate.df == pytest.approx(
        (a + b) ** 2 / (a * a / 6 + b * b / 5), rel=1e-13
    )


def test_compare_of_moments_is_welch():
    (estimate,) = exp_platform.compare(totals("a", CONTROL), totals("b", TREATMENT))
    assert_welch(estimate)


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda data: duckdb.from_arrow(pa.table(data)),
    ],
    ids=["pandas", "polars", "arrow", "duckdb"],
)
def test_compare_takes_every_frame(make):
    frame = make(DATA)
    (estimate,) = exp_platform.compare(
        frame, metric="spend", variant="arm", baseline="a"
    )
    assert_welch(estimate)
    assert (estimate.control, estimate.treatment) == ("a", "b")


def test_compare_leaves_null_values_out():
    data = {"arm": [*DATA["arm"], "a", "b"], "spend": [*DATA["spend"], None, None]}
    (estimate,) = exp_platform.compare(
        pa.table(data), metric="spend", variant="arm", baseline="a"
    )
    assert_welch(estimate)


def test_compare_gives_one_estimate_per_treatment():
    data = {"arm": list("aabbcc") * 3, "spend": np.arange(18.0)}
    found = exp_platform.compare(
        pa.table(data), metric="spend", variant="arm", baseline="b"
    )
    assert [e.treatment for e in found] == ["a", "c"]


def test_compare_without_variance_has_no_interval():
    data = {"arm": list("ab") * 5, "spend": [1.0] * 10}
    (estimate,) = exp_platform.compare(
        pa.table(data), metric="spend", variant="arm", baseline="a"
    )
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.p_value is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "spent"}, "did you mean 'spend'"),
        ({"variant": "arms"}, "did you mean 'arm'"),
        ({"baseline": "c"}, "known: a, b"),
        ({"baseline": None}, "metric, variant and baseline"),
        ({"frame": [1, 2]}, "not a data frame"),
        ({"frame": pa.table({"arm": ["a", "b"], "spend": [1.0, math.nan]})}, "NaN"),
        ({"frame": pa.table({"arm": ["a", "b"], "spend": ["x", "y"]})}, "number"),
        ({"frame": pa.table({"arm": ["a", None], "spend": [1.0, 2.0]})}, "arm"),
        ({"alpha": 1.5}, "alpha"),
    ],
    ids=str,
)
def test_compare_refuses_what_it_cannot_read(options, words):
    options = {"metric": "spend", "variant": "arm", "baseline": "a", **options}
    frame = options.pop("frame", pa.table(DATA))
    with pytest.raises(UsageError) as caught:
        exp_platform.compare(frame, **options)
    assert words in str(caught.value)


def test_compare_of_one_arm_is_refused():
    with pytest.raises(UsageError, match="two arms"):
        exp_platform.compare(totals("a", CONTROL))


def test_run_and_read_give_the_published_records(project):
    outcome = exp_platform.run("exp_tiny", config=project.config, generate_synth=True)
    found = exp_platform.results("exp_tiny", config=project.config)
    assert found
    assert all(isinstance(estimate, Estimate) for estimate in found)
    assert {e.run_id for e in found} == {outcome.run_id}
    published = {(e.metric_name, e.method, e.segment): e.difference for e in found}
    judged = outcome.judgement.estimates
    assert published == {
        (e.metric_name, e.method, e.segment): e.difference for e in judged
    }
    checks = exp_platform.check_results("exp_tiny", config=project.config)
    assert [c.check_name for c in checks] == [
        c.check_name for c in outcome.judgement.checks
    ]
    decisions = exp_platform.decisions("exp_tiny", config=project.config)
    assert {d.outcome for d in decisions} == {
        d.outcome for d in outcome.judgement.decisions
    }
    assert outcome.memo.markdown.is_file()


def test_results_of_an_unknown_experiment_name_the_nearest(ready):
    with pytest.raises(ContractError, match="did you mean 'exp_tiny'"):
        exp_platform.results("exp_tini", config=ready.config)


def test_results_before_any_run_create_nothing(project):
    with pytest.raises(ContractError, match="exp run exp_tiny"):
        exp_platform.results("exp_tiny", config=project.config)
    assert not (project.root / "data" / "warehouse").exists()


def test_settings_come_from_the_environment(project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"configs/dev\.yaml"):
        api.settings_of()
    monkeypatch.setenv("EXP_CONFIG", str(project.config))
    assert api.settings_of().root == project.root
    monkeypatch.delenv("EXP_CONFIG")
    monkeypatch.chdir(project.root)
    assert api.settings_of().environment == "test"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        exp_platform.runn  # noqa: B018 - the access is the test


def test_public_functions_are_not_hidden_by_rooms_of_the_same_name():
    for name in exp_platform.__all__:
        assert not inspect.ismodule(getattr(exp_platform, name)), name
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"exp_platform.{name}")


def test_type_checkers_see_what_is_handed_on():
    text = Path(exp_platform.__file__).read_text("utf-8")
    (block,) = (n for n in ast.parse(text).body if isinstance(n, ast.If))
    seen = {(one.name, node.module) for node in block.body for one in node.names}
    homes = {
        (name, f"exp_platform.{room}") for name, room in exp_platform._HOME.items()
    }
    assert seen == homes
    assert set(exp_platform._HOME) == set(exp_platform.__all__) - {"__version__"}
