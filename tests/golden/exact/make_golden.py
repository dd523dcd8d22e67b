"""Exact tests, intervals and tables by scipy and statsmodels."""

import json
from pathlib import Path

import scipy
from scipy.stats import chi2_contingency, fisher_exact, hypergeom
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
)

COUNTS = [
    (2, 40, 9, 35),
    (0, 50, 4, 60),
    (7, 7, 3, 9),
    (12, 300, 25, 280),
    (1, 5, 1, 5),
]
TABLES = [[[12, 30], [25, 18]], [[5, 9, 14], [11, 2, 6]], [[100, 120], [90, 130]]]


def mid_p(c0: int, n0: int, c1: int, n1: int) -> float:
    law = hypergeom(n0 + n1, c0 + c1, n1)
    at = law.pmf(c1)
    return float(min(1.0, 2 * min(law.cdf(c1) - at / 2, law.sf(c1 - 1) - at / 2)))


def solve(c0: int, n0: int, c1: int, n1: int) -> dict:
    table = [[c1, n1 - c1], [c0, n0 - c0]]
    wald = confint_proportions_2indep(c1, n1, c0, n0, method="wald")
    newcombe = confint_proportions_2indep(c1, n1, c0, n0, method="newcomb")
    return {
        "counts": [c0, n0, c1, n1],
        "fisher": float(fisher_exact(table).pvalue),
        "mid_p": mid_p(c0, n0, c1, n1),
        "yates": float(chi2_contingency(table, correction=True).pvalue),
        "clopper_pearson": list(map(float, proportion_confint(c1, n1, method="beta"))),
        "wilson": list(map(float, proportion_confint(c1, n1, method="wilson"))),
        "wald": list(map(float, wald)),
        "newcombe": list(map(float, newcombe)),
    }


def solve_table(table: list[list[int]]) -> dict:
    pearson = chi2_contingency(table, correction=False)
    yates = chi2_contingency(table, correction=True)
    g = chi2_contingency(table, correction=False, lambda_="log-likelihood")
    return {
        "table": table,
        "df": int(pearson.dof),
        "pearson": [float(pearson.statistic), float(pearson.pvalue)],
        "yates": [float(yates.statistic), float(yates.pvalue)],
        "g": [float(g.statistic), float(g.pvalue)],
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"scipy {scipy.__version__}, statsmodels",
        "proportions": [solve(*counts) for counts in COUNTS],
        "tables": [solve_table(table) for table in TABLES],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
