"""CUPED twice: tea-tasting for the total theta, least squares for the within-arm one.

With equal arms the within-arm theta is the slope of y ~ arm + covariates, and the
adjusted difference its arm coefficient.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
import tea_tasting

random = np.random.default_rng(11)


def draw(n: int, effect: float) -> pd.DataFrame:
    is_new = random.random(n) < 0.2
    x = np.where(is_new, 0.0, random.gamma(2, 3, n)).round(6)
    y = (0.7 * x + 1.5 * is_new + effect + random.normal(0, 2, n)).round(6)
    return pd.DataFrame({"y": y, "x": x, "is_new": is_new.astype(float)})


def fit(frame: pd.DataFrame, columns: list[str]) -> dict:
    design = sm.add_constant(frame[["variant", *columns]].astype(float))
    model = sm.OLS(frame["y"], design).fit()
    return {
        "difference": model.params["variant"],
        "theta": [model.params[column] for column in columns],
    }


if __name__ == "__main__":
    control, treatment = draw(240, 0.0), draw(240, 0.4)
    frame = pd.concat([control.assign(variant=0), treatment.assign(variant=1)])
    experiment = tea_tasting.Experiment(y=tea_tasting.Mean("y", "x"))
    total = experiment.analyze(frame)["y"]
    answer = {
        "made_with": f"tea-tasting {tea_tasting.__version__}, statsmodels",
        "control": control.to_dict("list"),
        "treatment": treatment.to_dict("list"),
        "total": {
            "control_mean": total.control,
            "treatment_mean": total.treatment,
            "difference": total.effect_size,
            "ci_lower": total.effect_size_ci_lower,
            "ci_upper": total.effect_size_ci_upper,
            "p_value": total.pvalue,
        },
        "x_only": fit(frame, ["x"]),
        "x_and_new": fit(frame, ["x", "is_new"]),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
