"""Few clusters: wild cluster bootstrap by wildboottest, permutations by scipy.

Run in an environment of its own: `pip install wildboottest scipy statsmodels pandas`.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import statsmodels.api as sm
from scipy.stats import permutation_test
from wildboottest.wildboottest import wildboottest

random = np.random.default_rng(21)


def draw(n_treated: int, n_control: int) -> pd.DataFrame:
    g = n_treated + n_control
    sizes = random.integers(3, 9, g)
    cluster = np.repeat(np.arange(g), sizes)
    treated = (cluster < n_treated).astype(float)
    shock = random.normal(0, 1, g)[cluster]
    pre = random.normal(10, 2, cluster.size)
    post = pre + 0.5 + shock + 0.9 * treated + random.normal(0, 1.5, cluster.size)
    frame = pd.DataFrame({"cluster": cluster, "treated": treated})
    return frame.assign(pre=pre.round(6), post=post.round(6))


def bootstrap(frame: pd.DataFrame, draws: int, weights: str) -> dict:
    """All sign vectors are used when there are fewer of them than draws."""
    model = sm.OLS(frame.post - frame.pre, sm.add_constant(frame.treated))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": frame.cluster})
    found = wildboottest(
        model,
        param="treated",
        cluster=frame.cluster,
        B=draws,
        weights_type=weights,
        impose_null=True,
        bootstrap_type="11",
        seed=12,
        show=False,
    )
    return {
        "units": frame.to_dict("list"),
        "draws": draws,
        "weights": weights,
        "difference": float(fit.params["treated"]),
        "standard_error": float(fit.bse["treated"]),
        "p_value": float(found["p-value"].iloc[0]),
    }


def permute(n_treated: int, n_control: int) -> dict:
    """Clusters of one unit: scipy compares all choices by the difference of means."""
    treated = random.normal(0.8, 1, n_treated).round(6)
    control = random.normal(0, 1, n_control).round(6)

    def distance(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(one.mean(axis=axis) - other.mean(axis=axis))

    found = permutation_test(
        (treated, control),
        distance,
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    )
    return {
        "treated": treated.tolist(),
        "control": control.tolist(),
        "p_value": float(found.pvalue),
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"wildboottest 0.3.2, scipy {scipy.__version__}",
        "enumerated": bootstrap(draw(5, 6), 99_999, "rademacher"),
        "drawn": bootstrap(draw(8, 14), 99_999, "rademacher"),
        "webb": bootstrap(draw(6, 7), 99_999, "webb"),
        "permutation": permute(5, 7),
        "three_treated": permute(3, 12),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
