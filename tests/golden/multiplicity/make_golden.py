"""Holm and Benjamini-Hochberg by statsmodels.stats.multitest."""

import json
from pathlib import Path

import numpy as np
import statsmodels
from statsmodels.stats.multitest import multipletests

random = np.random.default_rng(3)
FAMILIES = [
    [0.01, 0.04, 0.03, 0.005],
    [0.5],
    [0.02, 0.02, 0.02],
    np.round(random.beta(0.4, 1, 25), 6).tolist(),
]

if __name__ == "__main__":
    cases = [
        {
            "p_values": family,
            "holm": multipletests(family, method="holm")[1].tolist(),
            "bh": multipletests(family, method="fdr_bh")[1].tolist(),
        }
        for family in FAMILIES
    ]
    answer = {"made_with": f"statsmodels {statsmodels.__version__}", "cases": cases}
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
