"""Non-inferiority by scipy: a one-sided Welch test against the scaled control arm."""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

random = np.random.default_rng(5)

if __name__ == "__main__":
    control = random.gamma(2, 5, 400).round(6)
    treatment = random.gamma(2, 4.9, 250).round(6)
    margin = 0.08
    increase = stats.ttest_ind(
        treatment, (1 - margin) * control, equal_var=False, alternative="greater"
    )
    decrease = stats.ttest_ind(
        treatment, (1 + margin) * control, equal_var=False, alternative="less"
    )
    absolute = stats.ttest_ind(
        treatment + 1.2, control, equal_var=False, alternative="greater"
    )
    answer = {
        "made_with": f"scipy {scipy.__version__}",
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "margin": margin,
        "increase_is_good": increase.pvalue,
        "decrease_is_good": decrease.pvalue,
        "absolute_margin": 1.2,
        "absolute": absolute.pvalue,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
