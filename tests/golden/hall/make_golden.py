"""Hall's transformed t from its definition: raw cumulants, roots by bisection.

    python tests/golden/hall/make_golden.py

Nothing is shared with the platform: third cumulants are exact fractions of the raw
values, t comes from scipy.stats, and the cubic is turned round by a root finder instead
of its closed form.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import optimize, stats

CASES = {
    "skewed_90_10": (9000, 1000, 0.0, 0.05),
    "skewed_10_90": (1000, 9000, 0.3, 0.05),
    "wide_interval": (2500, 1000, -0.2, 0.01),
}


def cumulants(values):
    exact = [Fraction(v) for v in values]
    n = len(exact)
    mean = sum(exact) / n
    second = sum((v - mean) ** 2 for v in exact) / (n - 1)
    third = sum((v - mean) ** 3 for v in exact) / n
    return n, mean, second, third


def answer(control, treatment, alpha):
    (n0, m0, v0, k0), (n1, m1, v1, k1) = cumulants(control), cumulants(treatment)
    variance = float(v0 / n0 + v1 / n1)
    skewness = float(k1 / n1**2 - k0 / n0**2) / variance**1.5
    difference, error = float(m1 - m0), variance**0.5
    df = stats.ttest_ind(treatment, control, equal_var=False).df

    def bend(t):
        return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6

    transformed = bend(difference / error)
    quantile = stats.t.ppf(1 - alpha / 2, df)

    def restore(end):
        return optimize.brentq(lambda t: bend(t) - end, -60, 60, xtol=1e-13)

    ends = [difference - error * restore(end) for end in (quantile, -quantile)]
    return {
        "difference": difference,
        "skewness": skewness,
        "statistic": transformed,
        "p_value": 2 * stats.t.sf(abs(transformed), df),
        "ci_lower": ends[0],
        "ci_upper": ends[1],
    }


def main():
    random = np.random.default_rng(20)
    found = []
    for name, (n_control, n_treatment, effect, alpha) in CASES.items():
        # In sixteenths: few distinct values, kept as counts.
        control, treatment = (
            np.floor(16 * random.lognormal(0.0, 1.0, n)) / 16
            for n in (n_control, n_treatment)
        )
        treatment = treatment + effect
        found.append(
            {
                "name": name,
                "alpha": alpha,
                "control": count(control),
                "treatment": count(treatment),
                "answer": answer(control, treatment, alpha),
            }
        )
    text = json.dumps({"cases": found})
    Path(__file__).with_name("golden.json").write_text(text + "\n", "utf-8")


def count(values):
    """Different values and how often each occurs."""
    levels, counts = np.unique(values, return_counts=True)
    return [levels.tolist(), counts.tolist()]


if __name__ == "__main__":
    main()
