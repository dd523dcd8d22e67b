"""Several covariates, ratios and interactions: statsmodels and tea-tasting.

With equal arms the within-arm theta is the slope of y ~ arm + covariates. Lin's means
are two regressions, one per arm, predicted at the covariate mean of both; the squared
error without the term for random covariates is the sum of the prediction variances.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm
import tea_tasting

random = np.random.default_rng(31)
X = ["x", "z"]


def draw(n: int, effect: float, slope: float) -> pd.DataFrame:
    x, z = random.gamma(2, 3, n).round(6), random.normal(0, 1, n).round(6)
    d = (1 + random.poisson(3, n)).astype(float)
    y = (slope * x - z + effect + random.normal(0, 2, n)).round(6)
    num = (d * (1 + 0.1 * x) + effect + random.normal(0, 1, n)).round(6)
    return pd.DataFrame({"y": y, "x": x, "z": z, "num": num, "den": d})


def lin(frame: pd.DataFrame) -> dict:
    centre = frame[X].mean()
    at = np.r_[1.0, centre]
    found = [
        sm.OLS(part["y"], sm.add_constant(part[X])).fit().get_prediction(at[None])
        for _, part in frame.groupby("variant")
    ]
    means = [float(one.predicted_mean[0]) for one in found]
    variance = sum(float(one.se_mean[0] ** 2) for one in found)
    design = frame[["variant"]].astype(float)
    for name in X:
        design[name] = frame[name] - centre[name]
        design[f"{name}_variant"] = design[name] * design["variant"]
    model = sm.OLS(frame["y"], sm.add_constant(design)).fit()
    return {
        "difference": float(model.params["variant"]),
        "means": means,
        "variance_given_x": variance,
    }


if __name__ == "__main__":
    control, treatment = draw(300, 0.0, 0.5), draw(300, 0.4, 0.9)
    frame = pd.concat([control.assign(variant=0), treatment.assign(variant=1)])
    design = sm.add_constant(frame[["variant", *X]].astype(float))
    ols = sm.OLS(frame["y"], design).fit()
    metric = tea_tasting.RatioOfMeans("num", "den", "x", use_t=False)
    ratio = tea_tasting.Experiment(r=metric).analyze(frame)["r"]
    units = []
    for arm in (control, treatment):
        level = arm["num"].sum() / arm["den"].sum()
        units.append(level + (arm["num"] - level * arm["den"]) / arm["den"].mean())
    design_x = sm.add_constant(frame[["variant", "x"]].astype(float))
    linear = sm.OLS(pd.concat(units), design_x).fit()
    few = pd.concat([control.assign(variant=0), treatment[:120].assign(variant=1)])
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}, "
        f"tea-tasting {tea_tasting.__version__}",
        "control": control.to_dict("list"),
        "treatment": treatment.to_dict("list"),
        "ols": {
            "difference": float(ols.params["variant"]),
            "theta": [float(ols.params[name]) for name in X],
        },
        "ratio_ols": {
            "difference": float(linear.params["variant"]),
            "theta": float(linear.params["x"]),
        },
        "ratio_total": {
            "control_mean": ratio.control,
            "treatment_mean": ratio.treatment,
            "difference": ratio.effect_size,
            "ci_lower": ratio.effect_size_ci_lower,
            "ci_upper": ratio.effect_size_ci_upper,
            "p_value": ratio.pvalue,
        },
        "lin": lin(frame),
        "lin_unequal": lin(few),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
