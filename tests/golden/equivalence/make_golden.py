"""Two one-sided Welch tests by statsmodels; relative margins on the scaled control.

Shares where an arm has no event or only events: Miettinen and Nurminen's score, with the
restricted rates found as the root of the likelihood's derivative and the ends of the
interval by bisection (statsmodels' own is a few per cent off where a count is 0).
"""

import json
from pathlib import Path

import numpy as np
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.weightstats import ttost_ind

random = np.random.default_rng(11)
TIGHT = {"xtol": 1e-15, "rtol": 1e-15}


def find_rate(counts, ratio, shift):
    """Control's most likely rate p when treatment's is ratio x p + shift."""
    (x0, n0), (x1, n1) = counts

    def derivative(p):
        q = ratio * p + shift
        parts = [(x0, p, 1), (-(n0 - x0), 1 - p, 1)]
        parts += [(x1, q, ratio), (-(n1 - x1), 1 - q, ratio)]
        return sum(k * x / rate for x, rate, k in parts if x)

    low, high = max(0.0, -shift / ratio), min(1.0, (1 - shift) / ratio)
    tiny = 1e-13
    if derivative(low + tiny) < 0:
        return low
    if derivative(high - tiny) > 0:
        return high
    return optimize.brentq(derivative, low + tiny, high - tiny, **TIGHT)


def score(counts, value, *, is_ratio):
    (x0, n0), (x1, n1) = counts
    ratio, shift = (1 + value, 0.0) if is_ratio else (1.0, value)
    p = find_rate(counts, ratio, shift)
    q = ratio * p + shift
    variance = (q * (1 - q) / n1 + ratio**2 * p * (1 - p) / n0) * (n0 + n1)
    return (x1 / n1 - ratio * x0 / n0 - shift) / np.sqrt(variance / (n0 + n1 - 1))


def test_shares(counts, margins, *, is_ratio):
    above, below = (score(counts, m, is_ratio=is_ratio) for m in margins)
    z = stats.norm.isf(0.05)
    (x0, n0), (x1, n1) = counts
    observed = x1 / n1 / (x0 / n0) - 1 if is_ratio else x1 / n1 - x0 / n0
    ends = []
    for sign, edge in ((1, -1 + 1e-9), (-1, 20.0 if is_ratio else 1 - 1e-9)):
        gap = lambda v, s=sign: s * score(counts, v, is_ratio=is_ratio) - z  # noqa: E731
        start = observed + 1e-9 * (edge - observed)
        is_open = is_ratio and x1 == 0 and sign == 1
        ends.append(-1.0 if is_open else optimize.brentq(gap, start, edge, **TIGHT))
    return {
        "counts": counts,
        "margins": margins,
        "is_ratio": is_ratio,
        "p_lower": stats.norm.sf(above),
        "p_upper": stats.norm.cdf(below),
        "ends": ends,
    }


RARE = [((5, 200), (0, 200)), ((30, 900), (0, 800)), ((150, 200), (200, 200))]
RARE += [((1, 100), (0, 100)), ((4, 90), (0, 150))]

if __name__ == "__main__":
    control = random.gamma(2, 5, 300).round(6)
    treatment = random.gamma(2, 5.05, 420).round(6)
    low, high = -1.5, 1.8
    p_value, at_low, at_high = ttost_ind(
        treatment, control, low, high, usevar="unequal"
    )
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    interval = welch.confidence_interval(0.9)
    share = 0.15
    relative = [
        stats.ttest_ind(
            treatment, factor * control, equal_var=False, alternative=alternative
        )
        for factor, alternative in ((1 - share, "greater"), (1 + share, "less"))
    ]
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}, scipy",
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "margins": [low, high],
        "p_lower": at_low[1],
        "p_upper": at_high[1],
        "p_value": p_value,
        "ci_lower": interval.low,
        "ci_upper": interval.high,
        "share": share,
        "relative_statistics": [test.statistic for test in relative],
        "rare": [
            *(test_shares(c, (-0.03, 0.03), is_ratio=False) for c in RARE),
            *(test_shares(c, (-0.3, 0.3), is_ratio=True) for c in RARE),
            test_shares(((0, 100), (4, 90)), (-0.1, 0.1), is_ratio=False),
            test_shares(((0, 500), (0, 700)), (-0.01, 0.01), is_ratio=False),
        ],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
