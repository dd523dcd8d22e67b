"""Welch's t by scipy.stats.ttest_ind on small unequal samples."""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

random = np.random.default_rng(20260)
SAMPLES = {
    "normal": (random.normal(5, 2, 40), random.normal(6, 2, 40)),
    "unequal": (random.normal(5, 1, 12), random.normal(5.5, 6, 90)),
    "skewed": (random.lognormal(0, 1.2, 60), random.lognormal(0.1, 1.2, 25)),
    "far_apart": (random.normal(0, 1, 30), random.normal(40, 1, 30)),
}


def solve(control: np.ndarray, treatment: np.ndarray) -> dict:
    test = stats.ttest_ind(treatment, control, equal_var=False)
    interval = test.confidence_interval(0.95)
    return {
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "statistic": test.statistic,
        "df": test.df,
        "p_value": test.pvalue,
        "ci_lower": interval.low,
        "ci_upper": interval.high,
    }


if __name__ == "__main__":
    cases = {
        name: solve(np.round(c, 6), np.round(t, 6)) for name, (c, t) in SAMPLES.items()
    }
    answer = {"made_with": f"scipy {scipy.__version__}", "cases": cases}
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
