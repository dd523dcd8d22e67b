"""Arguments of a wrong kind are named, with what is allowed."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError

ARMS = {"metric": "y", "variant": "arm", "baseline": "a"}


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "arm": np.repeat(["a", "b"], 200),
            "y": random.normal(5, 1, 400),
            "x": random.normal(5, 1, 400),
            "week": 1.0,
        }
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: xp.equivalence(xp.compare(f, **ARMS), "x"), "margin must be"),
        (lambda f: xp.equivalence(xp.compare(f, **ARMS), None), "margin must be"),
        (lambda f: xp.equivalence(xp.compare(f, **ARMS), True), "margin must be"),
        (lambda f: xp.equivalence(xp.compare(f, **ARMS), (1, 2, 3)), "number, or two"),
        (lambda f: xp.equivalence(xp.compare(f, **ARMS), (-0.1, "x")), "upper margin"),
        (lambda _: xp.equivalence("rows", 0.1), "estimates are needed"),
        (lambda _: xp.equivalence([0.2], 0.1), "estimates are needed"),
        (lambda f: xp.bayes(f, prior=0.3, **ARMS), "prior"),
        (lambda f: xp.bayes(f, prior=0.3, **ARMS), r"BetaPrior\(events, non_events\)"),
        (lambda f: xp.compare(f.assign(y=[10**30] * 400), **ARMS), "no number"),
        (
            lambda f: xp.compare(f.assign(z=pd.arrays.SparseArray(f.x)), **ARMS),
            "column z",
        ),
        (lambda _: xp.Design(n_goals=1.5), "n_goals is no whole number"),
        (lambda f: xp.bayes(f, min_units="few", **ARMS), "min_units"),
        (lambda f: xp.bayes(f, min_units=2.5, **ARMS), "min_units"),
        (lambda _: xp.adjust([0.1], family_size="x"), "family_size"),
        (lambda f: xp.aipw(f, covariates="x", n_folds=0, **ARMS), "n_folds"),
        (lambda f: xp.aipw(f, covariates=7, **ARMS), "covariates names no columns"),
        (lambda f: xp.cuped(f, covariate=7, **ARMS), "covariate names no columns"),
        (lambda f: xp.compare(f, **{**ARMS, "variant": 3}), "no column 3"),
        (lambda f: xp.compare(f, **{**ARMS, "metric": 3}), "no column 3"),
        (
            lambda f: xp.sequential(f, look=3, planned_units=400, **ARMS),
            "no column 3",
        ),
        (lambda f: xp.cluster_means(f, cluster=3, **ARMS), "no column 3"),
        (lambda f: xp.cace(f, uptake=3, **ARMS), "no column 3"),
        (lambda f: xp.did(f, 3, time="week", treated="x"), "no column 3"),
        (lambda f: xp.did(f, "y", time=3, treated="x"), "no column 3"),
        (lambda f: xp.did(f, "y", time="week", treated="x", cluster=4), "column 4"),
        (lambda f: xp.did(f, "y", time="week", methods=3), "methods names no method"),
        (lambda f: xp.did(f, "y", time="week", methods=[]), "methods names no method"),
        (lambda f: xp.quantile(f, q="x", **ARMS), "q must lie"),
        (lambda f: xp.capped(f, top_share="a", **ARMS), "top_share must"),
        (lambda _: xp.sample_size(0.1, mde=0.05, design=3), "design must be"),
        (lambda _: xp.power(0.1, 900, mde=0.05, design=3), "design must be"),
        (lambda _: xp.mde(0.1, 900, design=3), "design must be"),
        (lambda f: xp.cluster_means(f, cluster="x", seed=-1, **ARMS), "seed"),
        (
            lambda f: xp.sequential(
                f, look="week", planned_units=400, weights=[1, 1], **ARMS
            ),
            "weights are no shares",
        ),
        (
            lambda f: xp.sequential(
                f, look="week", planned_units=400, weights={"a": 1}, **ARMS
            ),
            "no share is planned for the arm 'b'",
        ),
    ],
)
def test_argument_of_a_wrong_kind_is_named(call, words, frame):
    with pytest.raises(UsageError, match=words) as caught:
        call(frame)
    assert caught.value.parts["allowed"]
