"""Intervals of the relative lift by other tools, and by looking for their ends.

Log-ratio: tea-tasting with normal quantiles (its t has degrees of freedom of the log
means, ours those of the difference). Fieller: no formula, but the two lifts at which
scipy's Welch test of treatment against the scaled control has p = alpha at the degrees
of freedom of the difference; in general, at which the statistic of
difference - lift x baseline is the quantile, with 40 digits (mpmath). Shares: statsmodels'
Wilson limits with the ends of Newcombe's interval of treatment - ratio x control looked
for, and statsmodels' score interval of the ratio.
"""

import json
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import scipy
import statsmodels
import tea_tasting
from scipy import optimize, stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
)

mpmath.mp.dps = 40


def find_welch_ends(control, treatment, alpha):
    """Factors on control, less 1, that Welch's statistic just rejects."""
    df = stats.ttest_ind(treatment, control, equal_var=False).df
    quantile = stats.t.isf(alpha / 2, df)

    def gap(lift):
        scaled = stats.ttest_ind(treatment, (1 + lift) * control, equal_var=False)
        return abs(scaled.statistic) - quantile

    lift = treatment.mean() / control.mean() - 1
    reach = list(np.geomspace(1e-3, 1e3, 2000))
    ends = []
    for sign in (-1, 1):
        outside = next(step for step in reach if gap(lift + sign * step) > 0)
        ends.append(
            optimize.brentq(gap, lift, lift + sign * outside, xtol=1e-15, rtol=1e-15)
        )
    return ends


def find_ends(case):
    """Both lifts at which |statistic| of difference - lift x baseline is the quantile.

    `case` is the difference, its error, the baseline's mean, variance and covariance
    with the difference, and the quantile.
    """
    d, se, m, v, c, q = map(mpmath.mpf, case)

    def gap(r):
        return abs(d - r * m) / mpmath.sqrt(se**2 - 2 * r * c + r**2 * v) - q

    ends = []
    for sign in (-1, 1):
        step = mpmath.mpf("1e-3")
        while gap(d / m + sign * step) < 0:
            step *= 2
        inside, outside = d / m, d / m + sign * step
        for _ in range(120):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if gap(middle) < 0 else (inside, middle)
        ends.append(float(inside))
    return ends


def find_rate_ends(control, treatment, alpha):
    """Lifts at which Newcombe's interval of treatment - (1 + lift) x control meets 0."""
    (x0, n0), (x1, n1) = control, treatment
    c, t = x0 / n0, x1 / n1
    l0, u0 = proportion_confint(x0, n0, alpha, method="wilson")
    l1, u1 = proportion_confint(x1, n1, alpha, method="wilson")

    def above(lift):
        r = 1 + lift
        return t - r * c - np.hypot(t - l1, r * (u0 - c))

    def below(lift):
        r = 1 + lift
        return t - r * c + np.hypot(u1 - t, r * (c - l0))

    lift, top = t / c - 1, 1.0
    while below(top) > 0:
        top *= 2
    tight = {"xtol": 1e-15, "rtol": 1e-15}
    low = optimize.brentq(above, -1, lift, **tight) if x1 else -1.0
    return [low, optimize.brentq(below, lift, top, **tight)]


if __name__ == "__main__":
    random = np.random.default_rng(71)
    control = random.gamma(1, 3, 200).round(6)
    treatment = random.gamma(1, 3.6, 150).round(6)
    frame = pd.concat(
        [
            pd.DataFrame({"y": control, "variant": 0}),
            pd.DataFrame({"y": treatment, "variant": 1}),
        ]
    )
    found = tea_tasting.Experiment(y=tea_tasting.Mean("y", use_t=False)).analyze(frame)[
        "y"
    ]
    noisy = random.normal(1, 4, 60).round(6)
    moved = random.normal(1.4, 4, 45).round(6)
    general = []
    while len(general) < 40:
        mean = random.uniform(0.5, 5)
        quantile = random.uniform(1.5, 6)
        base_error = mean / quantile * random.uniform(0.01, 0.98)
        error = random.uniform(0.01, 2)
        shared = random.uniform(-0.95, 0.95) * error * base_error
        difference = error * random.normal(0, 2.5)
        case = [difference, error, mean, base_error**2, shared, quantile]
        general.append({"case": case, "ends": find_ends(case)})
    rates = []
    for counts in (
        ((40, 400), (45, 300)),
        ((12, 400), (6, 400)),
        ((5, 200), (0, 200)),
        ((3, 50), (9, 40)),
        ((1, 100), (4, 90)),
        ((150, 200), (200, 200)),
    ):
        for alpha in (0.05, 0.01):
            (x0, n0), (x1, n1) = counts
            score = None
            if 0 < x1 < n1:
                ends = confint_proportions_2indep(
                    x1, n1, x0, n0, compare="ratio", method="score", alpha=alpha
                )
                score = [end - 1 for end in ends]
            rates.append(
                {
                    "counts": counts,
                    "alpha": alpha,
                    "ends": find_rate_ends(*counts, alpha),
                    "score": score,
                }
            )
    answer = {
        "made_with": f"tea-tasting {tea_tasting.__version__}, scipy "
        f"{scipy.__version__}, statsmodels {statsmodels.__version__}, mpmath "
        f"{mpmath.__version__}",
        "control": control.tolist(),
        "treatment": treatment.tolist(),
        "relative_lift": found.rel_effect_size,
        "log_delta": [found.rel_effect_size_ci_lower, found.rel_effect_size_ci_upper],
        "fieller": {
            str(alpha): find_welch_ends(control, treatment, alpha)
            for alpha in (0.05, 0.001)
        },
        "noisy": {
            "control": noisy.tolist(),
            "treatment": moved.tolist(),
            "fieller": {
                str(alpha): find_welch_ends(noisy, moved, alpha)
                for alpha in (0.2, 0.05)
            },
        },
        "general": general,
        "rates": rates,
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
