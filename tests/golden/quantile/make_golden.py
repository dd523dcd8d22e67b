"""Quantiles with clustered shares: values from here, answers from make_golden.R."""

import json
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    random = np.random.default_rng(41)
    sizes = 1 + random.poisson(3, 400)
    level = random.normal(0, 0.7, 400)
    units = np.repeat(np.arange(400), sizes)
    values = np.exp(level[units] + random.normal(0, 0.8, units.size)).round(6)
    single = random.lognormal(0, 1.2, 1500).round(6)
    data = {
        "single": single.tolist(),
        "values": values.tolist(),
        "units": units.tolist(),
        "quantiles": [0.25, 0.5, 0.9],
    }
    Path(__file__).with_name("data.json").write_text(json.dumps(data))
