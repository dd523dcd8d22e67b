"""Wald estimates with robust and clustered errors: linearmodels IV2SLS, statsmodels.

Run in an environment of its own with linearmodels, statsmodels, pandas and causaldata:
linearmodels is not among the project's tools.
"""

import json
from pathlib import Path

import linearmodels
import numpy as np
import pandas as pd
import statsmodels.api as sm
from causaldata import thornton_hiv
from linearmodels.iv import IV2SLS
from scipy import optimize, stats

random = np.random.default_rng(29)


def draw(n_clusters: int, size: int, *, always: float, effect: float) -> pd.DataFrame:
    n = n_clusters * size
    cluster = np.repeat(np.arange(n_clusters), size)
    offered = (cluster % 2).astype(float)
    shock = random.normal(0, 0.5, n_clusters)[cluster]
    keen = random.normal(0, 1, n)
    uptake = (keen + 1.3 * offered > always).astype(float)
    outcome = 5 + shock + 0.6 * keen + effect * uptake + random.normal(0, 1, n)
    frame = pd.DataFrame({"cluster": cluster, "offered": offered, "uptake": uptake})
    return frame.assign(outcome=outcome.round(6))


def solve(frame: pd.DataFrame) -> dict:
    by_unit = frame.cluster.is_unique
    kind = {"cov_type": "robust"} if by_unit else {"cov_type": "clustered"}
    groups = {} if by_unit else {"clusters": frame.cluster}
    exogenous = pd.DataFrame({"const": np.ones(len(frame))})
    fit = IV2SLS(frame.outcome, exogenous, frame[["uptake"]], frame[["offered"]]).fit(
        **kind, **groups, debiased=True
    )
    first = ols(frame.uptake, frame)
    reduced = ols(frame.outcome, frame)
    lower, upper = invert(frame, float(fit.params["uptake"]))
    return {
        "units": frame.to_dict("list"),
        "n_clusters": int(frame.cluster.nunique()),
        "difference": float(fit.params["uptake"]),
        "standard_error": float(fit.std_errors["uptake"]),
        "first_stage": float(first.params["offered"]),
        "first_stage_f": float(first.tvalues["offered"] ** 2),
        "itt": float(reduced.params["offered"]),
        "itt_standard_error": float(reduced.bse["offered"]),
        "p_value": float(reduced.pvalues["offered"]),
        "ci_lower": lower,
        "ci_upper": upper,
    }


def ols(values: pd.Series, frame: pd.DataFrame):
    return sm.OLS(values, sm.add_constant(frame.offered)).fit(
        cov_type="cluster", cov_kwds={"groups": frame.cluster}, use_t=True
    )


def invert(frame: pd.DataFrame, centre: float) -> tuple[float, float]:
    """Effects at which outcome - effect x uptake does not depend on the offer."""

    def excess(effect: float) -> float:
        fit = ols(frame.outcome - effect * frame.uptake, frame)
        df = frame.cluster.nunique() - 1
        return abs(fit.tvalues["offered"]) - stats.t.ppf(0.975, df)

    step = 20.0
    options = {"xtol": 1e-13, "rtol": 1e-14}
    lower = optimize.brentq(excess, centre - step, centre, **options)
    upper = optimize.brentq(excess, centre, centre + step, **options)
    return float(lower), float(upper)


def thornton() -> dict:
    """Incentive -> learned the result; HIV status in 2004 cannot have been moved."""
    frame = thornton_hiv.load_pandas().data.dropna(subset=["got", "any", "hiv2004"])
    frame = pd.DataFrame(
        {
            "cluster": np.arange(len(frame)),
            "offered": frame["any"].to_numpy(),
            "uptake": frame["got"].to_numpy(),
            "outcome": frame["hiv2004"].to_numpy(),
        }
    )
    answer = solve(frame)
    del answer["units"]
    return answer | {"n": len(frame)}


if __name__ == "__main__":
    answer = {
        "made_with": f"linearmodels {linearmodels.__version__}, statsmodels",
        "by_unit": solve(draw(400, 1, always=0.8, effect=0.7)),
        "by_cluster": solve(draw(60, 6, always=0.5, effect=0.7)),
        "moderate": solve(draw(500, 1, always=2.3, effect=0.7)),
        "thornton": thornton(),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
