"""Cluster-robust variance of each arm's mean by statsmodels (CR1, intercept only).

With one parameter the CR1 factor is G / (G - 1) x (N - 1) / (N - 1): that of the delta
method over clusters.
"""

import json
from pathlib import Path

import numpy as np
import statsmodels
import statsmodels.api as sm

if __name__ == "__main__":
    random = np.random.default_rng(51)
    arms = {}
    for name, n_clusters, effect in (("control", 30, 0.0), ("treatment", 24, 0.5)):
        sizes = 5 + random.poisson(20, n_clusters)
        clusters = np.repeat(np.arange(n_clusters), sizes)
        level = random.normal(0, 1, n_clusters)[clusters]
        values = (10 + effect + level + random.normal(0, 2, clusters.size)).round(6)
        fit = sm.OLS(values, np.ones(clusters.size)).fit(
            cov_type="cluster", cov_kwds={"groups": clusters}
        )
        arms[name] = {
            "values": values.tolist(),
            "clusters": clusters.tolist(),
            "mean": float(fit.params[0]),
            "variance": float(fit.cov_params()[0, 0]),
        }
    answer = {"made_with": f"statsmodels {statsmodels.__version__}", **arms}
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
