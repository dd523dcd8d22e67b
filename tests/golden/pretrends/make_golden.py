"""Joint and slope tests of leads: Hotelling and GLS by statsmodels.

With equal arms the unpooled and the pooled T2 are the same number.
"""

import json
from pathlib import Path

import numpy as np
import statsmodels
import statsmodels.api as sm
from statsmodels.stats.multivariate import test_mvmean_2indep

random = np.random.default_rng(19)
DAYS = list(range(-6, 0))


def draw(n: int) -> np.ndarray:
    return (random.normal(0, 1, (n, len(DAYS))).cumsum(axis=1) + 4).round(6)


if __name__ == "__main__":
    control, treatment = draw(70), draw(70)
    treatment = (treatment + 0.05 * np.array(DAYS)).round(6)
    leads = [arm[:, :-1] - arm[:, -1:] for arm in (control, treatment)]
    test = test_mvmean_2indep(leads[1], leads[0])
    deltas = leads[1].mean(axis=0) - leads[0].mean(axis=0)
    covariance = sum(np.cov(arm.T) / len(arm) for arm in leads)
    line = np.array(DAYS[:-1]) - DAYS[-1]
    fit = sm.GLS(deltas, line, sigma=covariance).fit(cov_type="fixed scale")
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}",
        "days": DAYS,
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "hotelling": float(test.t2),
        "p_joint_pooled": float(test.pvalue),
        "slope": float(fit.params[0]),
        "slope_se_known_covariance": float(fit.bse[0]),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
