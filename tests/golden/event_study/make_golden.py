"""Event study with unit and day effects and CRV1 errors by cluster: pyfixest.

The errors are made without any small-sample factor, which packages choose
differently: G/(G-1) x (M-1)/(M-k) with M unit x day rows there, N units here.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyfixest

random = np.random.default_rng(17)
DAYS = list(range(-5, 4))


def draw(n_clusters: int, size: int) -> np.ndarray:
    shock = random.normal(0, 1, (n_clusters, len(DAYS))).cumsum(axis=1)
    noise = random.normal(0, 1, (n_clusters * size, len(DAYS)))
    level = random.normal(5, 1, (n_clusters * size, 1))
    return (level + np.repeat(shock, size, axis=0) + noise).round(6)


if __name__ == "__main__":
    n_clusters, size = 50, 3
    values = draw(n_clusters, size)
    cluster = np.repeat(np.arange(n_clusters), size)
    treated = (cluster < 20).astype(int)
    values[treated == 1] += np.where(np.array(DAYS) >= 0, 0.7, 0.0)
    values = values.round(6)
    unit = np.repeat(np.arange(len(values)), len(DAYS))
    panel = pd.DataFrame(
        {
            "unit": unit,
            "day": np.tile(DAYS, len(values)),
            "value": values.ravel(),
            "treated": treated[unit],
            "cluster": cluster[unit],
        }
    )
    fit = pyfixest.feols(
        "value ~ i(day, treated, ref=-1) | unit + day",
        panel,
        vcov={"CRV1": "cluster"},
        ssc=pyfixest.ssc(k_adj=False, G_adj=False),
    )
    rows = fit.tidy()
    days = [int(name.split("::")[1].split(":")[0]) for name in rows.index]
    answer = {
        "made_with": f"pyfixest {pyfixest.__version__}, no small-sample factor",
        "days": DAYS,
        "values": values.tolist(),
        "treated": treated.tolist(),
        "cluster": cluster.tolist(),
        "delta_days": days,
        "deltas": rows["Estimate"].tolist(),
        "raw_standard_errors": rows["Std. Error"].tolist(),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
