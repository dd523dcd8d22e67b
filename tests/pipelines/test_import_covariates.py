"""`exp import --covariate`: facts from before the exposure."""

import json
import random

import numpy as np
import pytest

from tests.pipelines.imported import BASE, arm, csv, rows, spend, welch


def test_import_keeps_other_metrics_covariates_when_one_is_missing(project, bring):
    def line(i):
        before = random.Random(i).gauss(10, 2)
        known = f"{before:.3f}" if i % 3 else ""
        noise = random.Random(-i).gauss(0, 0.1)
        return f"u{i},{arm(i)},{i % 5},{before + noise:.3f},{known},{before:.3f}"

    flags = (*BASE, "--metric", "z", "--covariate", "spend=xp", "--covariate", "z=zp")
    assert bring(csv("user,grp,spend,z,xp,zp", line), *flags).code == 0
    assert project.exp("run", "exp_file").code == 0
    (cuped,) = rows(
        project, "analysis_results", method="cuped", metric_name="z", segment="all"
    )
    # z is its covariate plus a little: nearly all variance goes
    assert json.loads(cuped["details"])["variance_ratio"] < 0.05


def adjust(units):
    """CUPED of (arm, value, covariate) by numpy: difference and standard error."""
    found = {}
    for name in "AB":
        mine = np.array([(y, x) for a, y, x in units if a == name], float)
        found[name] = (len(mine), mine.mean(axis=0), np.cov(mine.T))
    pooled = sum((n - 1) * spread for n, _, spread in found.values())
    theta = pooled[0, 1] / pooled[1, 1]
    slope = np.array([1, -theta])
    difference = slope @ (found["B"][1] - found["A"][1])
    variance = sum(slope @ spread @ slope / n for n, _, spread in found.values())
    return difference, np.sqrt(variance), theta


@pytest.mark.parametrize("lowest", [1.0, 0.0, -2.0])
def test_import_takes_the_covariate_of_a_proportion_as_it_is(project, bring, lowest):
    draw = random.Random(4)
    units = []
    for i in range(800):
        before = round(max(lowest, draw.gauss(1.5, 2)), 3)
        bought = int(draw.random() < min(0.9, 0.1 + 0.12 * max(before, 0)))
        units.append((arm(i), bought, before))

    def line(i):
        return f"u{i},{','.join(map(str, units[i]))}"

    flags = (*BASE[:-1], "bought", "--covariate", "bought=before")
    answer = bring(csv("user,grp,bought,before", line, 800), *flags)
    assert "covariates of bought: before" in answer.out
    assert project.exp("run", "exp_file").code == 0
    (cuped,) = rows(project, "analysis_results", method="cuped", segment="all")
    difference, error, theta = adjust(units)
    details = json.loads(cuped["details"])
    assert details["theta"] == pytest.approx(theta, rel=1e-9)
    assert cuped["difference"] == pytest.approx(difference, abs=1e-9)
    assert cuped["standard_error"] == pytest.approx(error, rel=1e-9)


def test_import_says_that_a_covariate_is_the_same_for_all_units(project, bring):
    content = csv("user,grp,spend,x", lambda i: f"{spend(i)},7")
    assert bring(content, *BASE, "--covariate", "spend=x").code == 0
    assert project.exp("run", "exp_file").code == 0
    (check,) = rows(project, "check_results", check_name="PRE_PERIOD_PRESENT")
    assert (check["status"], check["reason"]) == ("WARNED", "CONSTANT_PRE_PERIOD")
    assert "the same in all units" in check["message"]


def test_import_takes_several_covariates_of_a_metric(project, bring):
    def line(i):
        parts = [random.Random(f"{i}{name}").gauss(5, 1) for name in "xye"]
        values = (2 * parts[0] - parts[1] + parts[2] / 10, *parts[:2])
        return f"u{i},{arm(i)},{','.join(f'{v:.4f}' for v in values)}"

    flags = (*BASE, "--covariate", "spend=x", "--covariate", "spend=y")
    answer = bring(csv("user,grp,spend,x,y", line), *flags)
    assert (answer.code, answer.err) == (0, "")
    assert "covariates of spend: x, y" in answer.out
    assert project.exp("run", "exp_file").code == 0
    (primary,) = rows(project, "analysis_results", role="primary", segment="all")
    # both together leave a tenth of a standard deviation
    assert primary["standard_error"] < welch(project)["standard_error"] / 15


@pytest.mark.parametrize(
    ("covariates", "words"),
    [
        (("spend=x", "spend=x"), "each NAME=VALUE once"),
        (("spend=age",), "covariate 'age' has no number at all"),
    ],
)
def test_import_refuses_covariates_it_cannot_use(bring, covariates, words):
    content = csv("user,grp,spend,x,age", lambda i: f"{spend(i)},{i % 9},25-34")
    flags = [part for one in covariates for part in ("--covariate", one)]
    answer = bring(content, *BASE, *flags)
    assert answer.code == 2
    assert words in answer.err


@pytest.mark.parametrize("flag", [("--covariate", "spend=z"), ("--segment", "z")])
def test_import_refuses_an_outcome_as_a_fact_from_before(bring, flag):
    content = csv("user,grp,spend,z", lambda i: f"u{i},{arm(i)},{i % 5},{i % 3}")
    answer = bring(content, *BASE, "--metric", "z", *flag)
    assert answer.code == 2
    assert "is an outcome of this import" in answer.err
