"""Robust intervals of the Benzarti-Carloni event study by two independent packages.

Run in an environment of its own: `pip install "moderndid[didhonest]==0.2.0"
diff-diff==3.13`. moderndid is a translation of the R package HonestDiD; it finds C-LF
intervals on a grid of 1,000 points. diff-diff is used for the smoothness bound only.

`published` are answers of the R package itself on the same input, with 10 digits, as
kept in the tests of HonestDiD.jl (github.com/eohne/HonestDiD.jl, test/reference.jl);
coefficients and covariance are the data set BCdata_EventStudy of the R package.
"""

import json
from pathlib import Path

import numpy as np
from diff_diff.honest_did import _compute_optimal_flci
from moderndid.didhonest import create_sensitivity_results_rm

HERE = Path(__file__).parent
GRID = 1000


def solve_relative_magnitudes(path: dict, weights: list[float], method: str) -> list:
    found = create_sensitivity_results_rm(
        np.array(path["coefficients"]),
        np.array(path["covariance"]),
        path["n_pre"],
        path["n_post"],
        m_bar_vec=np.array([0.0, 0.5, 1.0, 1.5, 2.0]),
        method=method,
        l_vec=np.array(weights)[:, None],
        grid_points=GRID,
    )
    return [[r["Mbar"], r["lb"], r["ub"]] for r in found.to_dicts()]


def solve_smoothness(path: dict, weights: list[float]) -> list:
    found = []
    n = path["n_pre"]
    coefficients = np.array(path["coefficients"])
    for bend in (0.0, 0.05, 0.1, 0.2):
        lower, upper = _compute_optimal_flci(
            coefficients[:n],
            coefficients[n:],
            np.array(path["covariance"]),
            np.array(weights),
            n,
            path["n_post"],
            bend,
        )
        found.append([bend, float(lower), float(upper)])
    return found


if __name__ == "__main__":
    path = json.loads((HERE / "input.json").read_text())
    targets = {"first": [1.0, 0.0, 0.0, 0.0], "average": [0.25] * 4}
    answer = {"made_with": "moderndid 0.2.0, diff-diff 3.13.0", "grid": GRID}
    for name, weights in targets.items():
        answer[name] = {
            "weights": weights,
            "c_lf": solve_relative_magnitudes(path, weights, "C-LF"),
            "conditional": solve_relative_magnitudes(path, weights, "Conditional"),
            "smoothness": solve_smoothness(path, weights),
        }
    (HERE / "golden.json").write_text(json.dumps(answer, indent=1))
