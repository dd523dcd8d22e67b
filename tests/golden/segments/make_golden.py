"""Cochran's Q, interactions and strata by statsmodels.

In a model with one mean per cell HC2 is the cell's variance / n.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.formula.api as smf
from statsmodels.stats.meta_analysis import combine_effects

random = np.random.default_rng(61)


def homogeneity() -> dict:
    effects = random.normal(0.3, 0.4, 6).round(6)
    errors = random.uniform(0.1, 0.3, 6).round(6)
    found = combine_effects(effects, errors**2, method_re="chi2")
    test = found.test_homogeneity()
    return {
        "effects": effects.tolist(),
        "errors": errors.tolist(),
        "common": float(found.mean_effect_fe),
        "q": float(found.q),
        "p_value": float(test.pvalue),
        "tau_squared": float(found.tau2),
    }


def interaction() -> dict:
    n = 1200
    frame = pd.DataFrame(
        {
            "a": random.choice(["c", "t"], n),
            "b": random.choice(["c", "u", "v"], n, p=[0.5, 0.3, 0.2]),
        }
    )
    frame["y"] = (
        0.3 * (frame["a"] == "t")
        + 0.5 * ((frame["a"] == "t") & (frame["b"] == "v"))
        + random.gamma(2, 1, n)
    ).round(6)
    fit = smf.ols("y ~ C(a) * C(b)", frame).fit(cov_type="HC2")
    names = [name for name in fit.params.index if ":" in name]
    wald = fit.wald_test(
        np.eye(6)[[fit.params.index.get_loc(x) for x in names]],
        use_f=False,
        scalar=True,
    )
    return {
        "data": frame.to_dict("list"),
        "difference": [float(fit.params[name]) for name in names],
        "standard_error": [float(fit.bse[name]) for name in names],
        "wald": [float(wald.statistic), float(wald.pvalue)],
    }


def strata() -> dict:
    n = 900
    frame = pd.DataFrame(
        {
            "arm": random.choice(["c", "t"], n, p=[0.4, 0.6]),
            "s": random.choice(["one", "two", "six"], n, p=[0.6, 0.3, 0.1]),
        }
    )
    level = frame["s"].map({"one": 0.0, "two": 4.0, "six": 9.0})
    frame["y"] = (level + 0.4 * (frame["arm"] == "t") + random.normal(0, 1, n)).round(6)
    fit = smf.ols("y ~ 0 + C(s):C(arm)", frame).fit(cov_type="HC2")
    shares = frame["s"].value_counts(normalize=True)
    contrast = np.array(
        [
            shares[name.split("[")[1].split("]")[0]]
            * (1 if "C(arm)[t]" in name else -1)
            for name in fit.params.index
        ]
    )
    test = fit.t_test(contrast)
    return {
        "data": frame.to_dict("list"),
        "difference": float(test.effect[0]),
        "error_given_strata": float(test.sd[0, 0]),
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}",
        "homogeneity": homogeneity(),
        "interaction": interaction(),
        "strata": strata(),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
