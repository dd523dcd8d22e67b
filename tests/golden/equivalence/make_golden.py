"""Two one-sided Welch tests by statsmodels; relative margins on the scaled control."""

import json
from pathlib import Path

import numpy as np
import statsmodels
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

random = np.random.default_rng(11)

if __name__ == "__main__":
    control = random.gamma(2, 5, 300).round(6)
    treatment = random.gamma(2, 5.05, 420).round(6)
    low, high = -1.5, 1.8
    p_value, at_low, at_high = ttost_ind(
        treatment, control, low, high, usevar="unequal"
    )
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    interval = welch.confidence_interval(0.9)
    share = 0.15
    relative = [
        stats.ttest_ind(
            treatment, factor * control, equal_var=False, alternative=alternative
        )
        for factor, alternative in ((1 - share, "greater"), (1 + share, "less"))
    ]
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}, scipy",
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "margins": [low, high],
        "p_lower": at_low[1],
        "p_upper": at_high[1],
        "p_value": p_value,
        "ci_lower": interval.low,
        "ci_upper": interval.high,
        "share": share,
        "relative_statistics": [test.statistic for test in relative],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
