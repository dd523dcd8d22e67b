"""2x2 DiD as a regression of units' changes, CR1 by cluster: statsmodels, pyfixest."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyfixest
import statsmodels.api as sm

random = np.random.default_rng(13)


def draw(n_clusters: int, size: int) -> pd.DataFrame:
    n = n_clusters * size
    cluster = np.repeat(np.arange(n_clusters), size)
    treated = (cluster % 5 < 2).astype(float)
    shock = random.normal(0, 1, n_clusters)[cluster]
    pre = random.normal(10, 2, n)
    post = pre + 0.5 + shock + 0.8 * treated + random.normal(0, 1.5, n)
    frame = pd.DataFrame({"cluster": cluster, "treated": treated})
    return frame.assign(pre=pre.round(6), post=post.round(6))


def solve(frame: pd.DataFrame) -> dict:
    change = frame.post - frame.pre
    design = sm.add_constant(frame.treated)
    n_clusters = frame.cluster.nunique()
    fit = sm.OLS(change, design).fit(
        cov_type="cluster", cov_kwds={"groups": frame.cluster}, use_t=True
    )
    lower, upper = fit.conf_int().loc["treated"]
    feols = pyfixest.feols(
        "change ~ treated", frame.assign(change=change), vcov={"CRV1": "cluster"}
    )
    return {
        "units": frame.to_dict("list"),
        "n_clusters": n_clusters,
        "difference": fit.params["treated"],
        "standard_error": fit.bse["treated"],
        "p_value": fit.pvalues["treated"],
        "ci_lower": lower,
        "ci_upper": upper,
        "pyfixest_standard_error": float(feols.se()["treated"]),
        "pyfixest_p_value": float(feols.pvalue()["treated"]),
    }


if __name__ == "__main__":
    by_cluster = draw(60, 4)
    by_unit = draw(240, 1)
    answer = {
        "made_with": f"statsmodels, pyfixest {pyfixest.__version__}",
        "by_cluster": solve(by_cluster),
        "by_unit": solve(by_unit),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
