"""Two proportions: pooled chi-square by scipy, Newcombe's interval by statsmodels.

Score bounds of a difference come from scipy's optimisers: the likelihood under a
hypothetical difference is maximised numerically, and the difference sought at which
z reaches 1.96. (statsmodels' own score interval of a difference does not use the
maximum of the likelihood; its score interval of a ratio does, and is used.)
"""

import json
from pathlib import Path

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from scipy.special import xlogy
from statsmodels.stats.proportion import confint_proportions_2indep

CASES = [(56, 70, 48, 80), (182, 1000, 190, 1000), (5, 560, 11, 290), (3, 400, 9, 500)]
EXTREME = [(9, 10, 3, 10), (5, 56, 0, 29), (0, 10, 0, 20), (10, 10, 1, 20)]


def score(counts: tuple[int, ...], difference: float) -> float:
    x1, n1, x0, n0 = counts

    def loss(p: float) -> float:
        q = p + difference
        return -(
            xlogy(x0, p) + xlogy(n0 - x0, 1 - p) + xlogy(x1, q) + xlogy(n1 - x1, 1 - q)
        )

    ends = (max(0.0, -difference), min(1.0, 1.0 - difference))
    options = {"xatol": 1e-13}
    p = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options=options).x
    q = p + difference
    n = n1 + n0
    error = np.sqrt((q * (1 - q) / n1 + p * (1 - p) / n0) * n / (n - 1))
    return (x1 / n1 - x0 / n0 - difference) / error


def bounds(counts: tuple[int, ...]) -> list[float]:
    x1, n1, x0, n0 = counts
    observed = x1 / n1 - x0 / n0
    z = stats.norm.ppf(0.975)
    edge = 1 - 1e-6
    return [
        optimize.brentq(lambda d: score(counts, d) - z, -edge, observed - 1e-6),
        optimize.brentq(lambda d: score(counts, d) + z, observed + 1e-6, edge),
    ]


def solve(counts: tuple[int, ...]) -> dict:
    x1, n1, x0, n0 = counts
    newcombe = confint_proportions_2indep(x1, n1, x0, n0, method="newcomb")
    return {
        "counts": counts,
        "newcombe": [float(bound) for bound in newcombe],
        "score_difference": bounds(counts),
    }


def solve_regular(counts: tuple[int, ...]) -> dict:
    x1, n1, x0, n0 = counts
    table = [[x1, n1 - x1], [x0, n0 - x0]]
    chi_square = stats.chi2_contingency(table, correction=False)
    ratio = confint_proportions_2indep(
        x1, n1, x0, n0, compare="ratio", method="score", correction=True
    )
    return {
        **solve(counts),
        "chi_square": chi_square.statistic,
        "p_value": chi_square.pvalue,
        "score_ratio": [float(bound) for bound in ratio],
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
        "cases": [solve_regular(counts) for counts in CASES],
        "extreme": [solve(counts) for counts in EXTREME],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
