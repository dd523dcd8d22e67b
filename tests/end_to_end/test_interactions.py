"""`exp interactions`: two experiments on the same units, from files to the answer."""

import json

import numpy as np
import pytest

import exp_platform
from exp_platform.errors import ContractError, UsageError

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("interactions")]

N = 2400


def land(project, name, arms, values, *, ids=None, flags=()):
    """One imported and analysed experiment with one row per unit."""
    ids = [f"u{i:05}" for i in range(len(arms))] if ids is None else ids
    lines = ["id,arm,spend,visits"]
    lines += [
        f"{i},{arm},{value:.4f},{1 + n % 3}"
        for n, (i, arm, value) in enumerate(zip(ids, arms, values, strict=True))
    ]
    path = project.root / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    answer = project.exp(
        *("import", path, "--experiment-id", name, "--unit", "id", "--variant", "arm"),
        *("--control", "A", "--metric", "spend", "--metric", "visits"),
        *("--ratio", "per_visit=spend/visits", *flags),
    )
    assert (answer.code, answer.err) == (0, "")
    assert project.exp("run", name).code == 0


def draw():
    """Both experiments' arms of each unit, and its value."""
    random = np.random.default_rng(12)
    first, second = (random.choice(["A", "B"], N) for _ in range(2))
    values = random.normal(20, 4, N) + (first == "B") + (second == "B")
    return first, second, values - 2.0 * ((first == "B") & (second == "B"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory, make_project):
    """Each helps alone, both together do not."""
    project = make_project(tmp_path_factory.mktemp("pair") / "project")
    first, second, values = draw()
    land(project, "exp_one", first, values)
    land(project, "exp_two", second, values)
    other = [f"v{i:05}" for i in range(400)]
    land(project, "exp_else", first[:400], values[:400], ids=other)
    leaning = np.where(np.arange(N) % 10 < 9, first, second)
    land(project, "exp_lean", leaning, values)
    land(project, "exp_few", second[:300], values[:300])
    return project


def asked(project, *words):
    answer = project.exp("interactions", *words, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


def test_interaction_is_the_contrast_of_four_means(pair):
    found = asked(pair, "exp_one", "exp_two", "--metric", "spend")
    assert found["units"]["n_both"] == N
    assert found["assignment"]["p_value"] > 0.001
    own, other = found["metrics"]
    assert (own["experiment_id"], other["experiment_id"]) == ("exp_one", "exp_two")
    first, second, values = draw()

    def mean(one, two):
        return values[(first == one) & (second == two)].mean()

    alone, together = mean("B", "A") - mean("A", "A"), mean("B", "B") - mean("A", "B")
    (contrast,) = own["test"]["contrasts"]
    # The file holds four decimals.
    assert contrast["effect_alone"] == pytest.approx(alone, abs=1e-4)
    assert contrast["effect_under"] == pytest.approx(together, abs=1e-4)
    assert contrast["difference"] == pytest.approx(together - alone, abs=1e-4)
    assert own["test"]["p_value"] < 1e-6
    # The family is what was asked for: the metric in both experiments.
    assert own["p_value_adjusted"] == pytest.approx(2 * own["test"]["p_value"])
    (turned,) = other["test"]["contrasts"]
    assert turned["difference"] == pytest.approx(contrast["difference"])
    expected = mean("A", "B") - mean("A", "A")
    assert turned["effect_alone"] == pytest.approx(expected, abs=1e-4)


def test_ratio_and_every_metric_of_both_are_tested(pair):
    found = asked(pair, "exp_one", "exp_two")
    names = [(m["experiment_id"], m["metric_name"]) for m in found["metrics"]]
    assert len(names) == len(set(names)) == 6
    ratio = next(m for m in found["metrics"] if m["metric_name"] == "per_visit")
    first, second, values = draw()
    visits = 1 + np.arange(N) % 3

    def per_visit(one, two):
        cell = (first == one) & (second == two)
        return values[cell].sum() / visits[cell].sum()

    (contrast,) = ratio["test"]["contrasts"]
    alone = per_visit("B", "A") - per_visit("A", "A")
    # The file holds four decimals.
    assert contrast["effect_alone"] == pytest.approx(alone, abs=1e-4)


def test_dependent_assignment_is_told(pair):
    answer = pair.exp("interactions", "exp_one", "exp_lean")
    assert answer.code == 0
    assert ", below 0.001: DEPENDENT, " in answer.out
    words = ", not below 0.001: no sign of dependence"
    assert words in pair.exp("interactions", "exp_one", "exp_two").out


def test_small_cells_have_a_reason_and_no_number(pair):
    answer = pair.exp("interactions", "exp_one", "exp_few")
    assert answer.code == 0
    assert "no test (TOO_FEW_UNITS): spend of exp_one" in answer.out
    found = asked(pair, "exp_one", "exp_few")
    assert all(m["p_value_adjusted"] is None for m in found["metrics"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("exp_one", "exp_else"), 3, "share no unit"),
        (("exp_one", "exp_one"), 2, "compared with itself"),
        (("exp_one", "exp_nobody"), 3, "has no rows in experiment_registry"),
        (("exp_one", "exp_two", "--metric", "spent"), 2, "did you mean 'spend'?"),
        (("exp_one", "../x"), 2, "experiment id"),
    ],
)
def test_what_cannot_be_compared_is_one_message(pair, words, code, message):
    answer = pair.exp("interactions", *words)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err


def test_other_units_and_other_assignment_are_refused(ready):
    answer = ready.exp("interactions", "exp_tiny", "exp_rollout")
    assert answer.code == 3
    assert "assigned by cluster" in answer.err or "assigned policy" in answer.err


def test_different_kinds_of_units_are_refused():
    from dataclasses import replace
    from datetime import UTC, datetime

    from exp_platform.pipelines.interactions import _require_same_units
    from exp_platform.records import AnalysisPlan, ExperimentSpec, Variant

    now = datetime(2026, 1, 1, tzinfo=UTC)
    arms = (Variant("A", 0.5), Variant("B", 0.5))
    spec = ExperimentSpec("exp_one", now, now, now, arms, "A", AnalysisPlan(()))
    _require_same_units((spec, spec))
    with pytest.raises(ContractError, match="different kinds of units"):
        _require_same_units((spec, replace(spec, unit_type="session")))
    with pytest.raises(ContractError, match="single units by chance"):
        _require_same_units((spec, replace(spec, cluster="market")))


def test_public_function_answers_the_same(pair):
    found = exp_platform.interactions("exp_one", "exp_two", config=pair.config)
    told = asked(pair, "exp_one", "exp_two")
    assert [m.test.p_value for m in found.metrics] == [
        m["test"]["p_value"] for m in told["metrics"]
    ]
    with pytest.raises(UsageError):
        exp_platform.interactions("exp_one", "exp_one", config=pair.config)
