"""Regression adjustment and AIPW: statsmodels' TreatmentEffect and DoubleML's IRM.

Run in an environment of its own with doubleml, scikit-learn, statsmodels and pandas:
DoubleML is not among the project's tools.
"""

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from doubleml import DoubleMLData, DoubleMLIRM
from sklearn.linear_model import LinearRegression, LogisticRegression
from statsmodels.treatment.treatment_effects import TreatmentEffect

NAMES = ["x0", "x1", "x2"]


def draw(n: int) -> pd.DataFrame:
    random = np.random.default_rng(53)
    frame = pd.DataFrame(random.normal(0, 1, (n, 3)).round(6), columns=NAMES)
    chance = 1 / (1 + np.exp(-(0.3 + 0.6 * frame.x0 - 0.4 * frame.x1)))
    frame["treated"] = (random.random(n) < chance).astype(float)
    effect = 0.5 + 0.4 * frame.x0
    frame["outcome"] = (
        2 + frame.x0 - 0.5 * frame.x2 + effect * frame.treated + random.normal(0, 1, n)
    ).round(6)
    return frame


def deal(frame: pd.DataFrame, n_folds: int) -> np.ndarray:
    """Units of each arm in the order of their covariates, dealt to the folds."""
    folds = np.empty(len(frame), dtype=int)
    for _, arm in frame.groupby("treated"):
        ordered = arm.sort_values(NAMES, kind="stable")
        folds[ordered.index] = np.arange(len(ordered)) % n_folds
    return folds


def with_statsmodels(frame: pd.DataFrame) -> dict:
    design = sm.add_constant(frame[NAMES])
    treated = frame.treated.to_numpy().astype(int)
    model = sm.OLS(frame.outcome, design)
    logit = sm.Logit(treated, design).fit(disp=False, method="newton", tol=1e-14)
    effects = TreatmentEffect(model, treated, results_select=logit)
    adjusted = effects.ra(effect_group="all")
    weighted = effects.aipw(return_results=False)
    return {
        "ra_difference": float(np.ravel(adjusted.effect)[0]),
        "ra_standard_error": float(adjusted.results_gmm.bse[0]),
        "aipw_difference": float(np.ravel(weighted[0])[0]),
        "propensity": logit.predict(design).tolist()[:20],
    }


def with_doubleml(frame: pd.DataFrame, n_folds: int) -> dict:
    folds = deal(frame, n_folds)
    parts = [
        (np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in set(folds)
    ]
    data = DoubleMLData(frame, y_col="outcome", d_cols="treated", x_cols=NAMES)
    logistic = LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=500
    )
    model = DoubleMLIRM(
        data, LinearRegression(), logistic, n_folds=n_folds, draw_sample_splitting=False
    )
    model.set_sample_splitting([parts])
    model.fit()
    return {"difference": float(model.coef[0]), "standard_error": float(model.se[0])}


if __name__ == "__main__":
    frame = draw(600)
    answer = {
        "made_with": f"statsmodels, DoubleML {metadata.version('doubleml')}",
        "units": frame.to_dict("list"),
        "statsmodels": with_statsmodels(frame),
        "doubleml": with_doubleml(frame, 5),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
