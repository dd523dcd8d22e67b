"""Two proportions: pooled chi-square by scipy, Newcombe's interval by statsmodels.

The score intervals are copied from Newcombe (1998), Statistics in Medicine 17, 873-890,
table II, methods 6 (Miettinen and Nurminen) and 10, as printed with four decimals:
statsmodels' own score interval of a difference disagrees with them (its restricted
proportions are not the likelihood's maximum), its interval of a ratio does not.
"""

import json
from pathlib import Path

import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

CASES = [(56, 70, 48, 80), (182, 1000, 190, 1000), (5, 560, 11, 290), (3, 400, 9, 500)]

PUBLISHED = [
    # events and units of treatment, of control, Miettinen-Nurminen, Newcombe
    [56, 70, 48, 80, 0.0528, 0.3382, 0.0524, 0.3339],
    [9, 10, 3, 10, 0.1700, 0.8406, 0.1705, 0.8090],
    [5, 56, 0, 29, -0.0326, 0.1933, -0.0381, 0.1926],
    [0, 10, 0, 20, -0.1658, 0.2844, -0.1611, 0.2775],
    [10, 10, 0, 20, 0.7156, 1.0000, 0.6791, 1.0000],
]


def solve(x1: int, n1: int, x0: int, n0: int) -> dict:
    table = [[x1, n1 - x1], [x0, n0 - x0]]
    chi_square = stats.chi2_contingency(table, correction=False)
    lower, upper = confint_proportions_2indep(x1, n1, x0, n0, method="newcomb")
    ratio = confint_proportions_2indep(
        x1, n1, x0, n0, compare="ratio", method="score", correction=True
    )
    return {
        "counts": [x1, n1, x0, n0],
        "chi_square": chi_square.statistic,
        "p_value": chi_square.pvalue,
        "newcombe": [lower, upper],
        "score_ratio": [float(bound) for bound in ratio],
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
        "cases": [solve(*counts) for counts in CASES],
        "published": PUBLISHED,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
