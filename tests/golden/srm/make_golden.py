"""Splits: chi-square, exact and Dirichlet-multinomial answers by scipy.stats."""

import itertools
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

LARGE = [
    ([44700, 45489], [1, 1]),
    ([21306, 21307, 21387], [1, 1, 1]),
    ([910, 90], [9, 1]),
]
SMALL = [([3, 12], [1, 9]), ([0, 20], [1, 9]), ([3, 0, 17], [1, 1, 8])]


def exact(observed: list[int], shares: np.ndarray) -> float:
    n = sum(observed)
    if len(observed) == 2:
        return stats.binomtest(observed[0], n, shares[0]).pvalue
    law = stats.multinomial(n, shares)
    splits = [
        (*head, n - sum(head))
        for head in itertools.product(range(n + 1), repeat=len(observed) - 1)
        if sum(head) <= n
    ]
    chances = law.pmf(np.array(splits))
    return float(chances[chances <= law.pmf(observed) * (1 + 1e-9)].sum())


def solve(observed: list[int], weights: list[float]) -> dict:
    shares = np.array(weights) / sum(weights)
    n = sum(observed)
    test = stats.chisquare(observed, n * shares)
    mixture = stats.dirichlet_multinomial(1000 * shares, n).logpmf(observed)
    return {
        "observed": observed,
        "weights": weights,
        "chi_square": test.statistic,
        "p_value": test.pvalue,
        "log_e": float(mixture - stats.multinomial(n, shares).logpmf(observed)),
    }


if __name__ == "__main__":
    small = [{**solve(x, w), "exact": exact(x, np.array(w) / sum(w))} for x, w in SMALL]
    answer = {
        "made_with": f"scipy {scipy.__version__}",
        "large": [solve(*case) for case in LARGE],
        "small": small,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
