"""Weights and placebo ranks: quadprog (dual active set) and pysyncon.

Run in an environment of its own with quadprog, pysyncon, pandas and causaldata: they
are not among the project's tools.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pysyncon
import quadprog
from causaldata import texas
from pysyncon import Synth

N_PRE = 40
PREDICTORS = ["poverty", "alcohol", "aidscapita", "perc1519"]


def draw() -> np.ndarray:
    """24 units of a factor model over 50 periods; the first is treated from 40 on."""
    random = np.random.default_rng(41)
    level = random.normal(10, 1, (24, 1))
    loadings = random.uniform(0, 1, (24, 3))
    factors = np.cumsum(random.normal(0, 0.3, (3, 50)), axis=1)
    outcomes = level + loadings @ factors + random.normal(0, 0.15, (24, 50))
    outcomes[0, N_PRE:] += 0.8
    return outcomes.round(6)


def solve(target: np.ndarray, donors: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    scale = np.abs(donors - target).max()
    gaps = (donors - target) / scale
    n = len(donors)
    constraints = np.column_stack([np.ones(n), np.eye(n)])
    bounds = np.concatenate([[1.0], np.zeros(n)])
    squares = gaps @ gaps.T + ridge * np.eye(n)
    return quadprog.solve_qp(squares, np.zeros(n), constraints, bounds, 1)[0]


def study(outcomes: np.ndarray, n_pre: int, ridge: float = 0.0) -> dict:
    ratios, gaps = [], []
    own = None
    for unit in range(len(outcomes)):
        pool = [i for i in range(1, len(outcomes)) if i != unit]
        target, donors = outcomes[unit], outcomes[pool]
        weights = solve(target[:n_pre], donors[:, :n_pre], ridge)
        gap = target - weights @ donors
        before = np.sqrt(np.mean(gap[:n_pre] ** 2))
        ratios.append(np.sqrt(np.mean(gap[n_pre:] ** 2)) / before)
        gaps.append(np.mean(gap[n_pre:]) / before)
        own = own or {
            "weights": weights.tolist(),
            "difference": float(np.mean(gap[n_pre:])),
            "pre_rmspe": float(before),
        }
    reach = np.sort(np.abs(gaps[1:]))[::-1][int(0.05 * len(outcomes)) - 1]
    return own | {
        "ratio": ratios[0],
        "placebo_ratios": ratios[1:],
        "p_value": float(np.mean(np.array(ratios) >= ratios[0])),
        "half_width": float(reach * own["pre_rmspe"]),
    }


def texas_outcomes() -> tuple[np.ndarray, list[str]]:
    frame = texas.load_pandas().data
    wide = frame.pivot_table(index="state", columns="year", values="bmprison")
    names = ["Texas", *(name for name in wide.index if name != "Texas")]
    return wide.loc[names].to_numpy(float), names


def with_pysyncon() -> dict:
    """Texas on lagged outcomes and predictors, every row of X with weight 1."""
    frame = texas.load_pandas().data
    wide = frame.pivot_table(index="state", columns="year", values="bmprison")
    before = frame[frame.year < 1993].groupby("state")[PREDICTORS].mean()
    lags = wide.loc[:, wide.columns < 1993]
    spread = np.sqrt(lags.var(axis=0, ddof=1).mean())
    matched = pd.concat([lags, before], axis=1).T
    # pysyncon divides each row by its own deviation; lags share one here.
    own = matched.std(axis=1).to_numpy()
    importance = np.ones(len(matched))
    importance[: lags.shape[1]] = (own[: lags.shape[1]] / spread) ** 2
    synth = Synth()
    synth.fit(
        X0=matched.drop(columns="Texas"),
        X1=matched["Texas"],
        Z0=wide.T.drop(columns="Texas"),
        Z1=wide.T["Texas"],
        custom_V=importance,
    )
    names = [name for name in wide.index if name != "Texas"]
    return {"weights": dict(zip(names, synth.W.tolist(), strict=True))}


if __name__ == "__main__":
    outcomes = draw()
    answer = {
        "made_with": f"quadprog, pysyncon {pysyncon.__version__}",
        "outcomes": outcomes.tolist(),
        "simulated": study(outcomes, N_PRE),
        # 50 donors and 8 years: the quadratic form is singular without a ridge.
        "texas": study(texas_outcomes()[0], 8, ridge=1e-9),
        "texas_with_predictors": with_pysyncon(),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
