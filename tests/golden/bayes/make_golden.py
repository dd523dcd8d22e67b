"""Posteriors by adaptive quadrature: scipy for rates, mpmath for normals.

The probability to beat also by the finite sum for whole-number parameters, which is
exact: Miller (2015), "Formulas for Bayesian A/B testing". Needs mpmath beside scipy.
"""

import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import mpmath as mp
import numpy as np
from scipy import integrate, optimize, stats

mp.mp.dps = 20

# Parameters of control and treatment: (a, b), (a, b).
RATES = [
    ((101, 901), (121, 881)),
    ((3.5, 47.5), (9.5, 41.5)),
    ((0.5, 200.5), (2.5, 208.5)),
    ((1, 31), (2, 20001)),
    ((4001, 96001), (4101, 95901)),
]
# Estimate, its error, prior mean, prior sd.
NORMALS = [
    (0.02, 0.01, 0.0, 0.3),
    (-0.5, 0.4, 0.1, 0.2),
    (0.03, 0.03, 0.0, 0.01),
    (0.08, 0.01, 0.0, 0.3),
]


def expect(arm, function, kinks=()):
    """Mean of a function of a rate: scipy's adaptive quadrature over log p."""
    own = stats.beta(*arm)
    edges = own.ppf([1e-300, 1e-30, 1e-12, 1e-6, 1e-3, 0.05, 0.3, 0.5, 0.7, 0.95])
    edges = [*edges, *own.isf([1e-3, 1e-6, 1e-10, 1e-14, 1e-18]), 1.0, *kinks]
    points = np.unique(np.log([p for p in edges if 0 < p <= 1]))
    return sum(
        integrate.quad(
            lambda x: own.pdf(np.exp(x)) * np.exp(x) * function(np.exp(x)),
            low,
            high,
            epsabs=1e-16,
            epsrel=1e-12,
            limit=400,
        )[0]
        for low, high in pairwise(points)
    )


def solve_rates(control, treatment):
    one, two = stats.beta(*control), stats.beta(*treatment)

    def at_most(d):
        return expect(control, lambda c: two.cdf(c + d), (-d, 1 - d))

    def short_of(p):
        """E max(0, p - treatment)."""
        a, b = treatment
        return p * two.cdf(p) - two.mean() * stats.beta.cdf(p, a + 1, b)

    def beyond(p):
        a, b = treatment
        return two.mean() * stats.beta.sf(p, a + 1, b) - p * two.sf(p)

    spread = np.hypot(one.std(), two.std())
    middle = two.mean() - one.mean()
    limits = [
        optimize.brentq(
            lambda d: at_most(d) - chance,  # noqa: B023
            middle - 8 * spread,
            middle + 14 * spread,
            xtol=1e-15,
        )
        for chance in (0.025, 0.975)
    ]
    return {
        "control": control,
        "treatment": treatment,
        "probability_above": expect(control, two.sf),
        "loss_above": expect(control, short_of),
        "loss_below": expect(control, beyond),
        "lower": limits[0],
        "upper": limits[1],
        "exact": exact_sum(control, treatment),
    }


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def exact_sum(control, treatment):
    """Miller's sum, null when a parameter is not whole."""
    (a0, b0), (a1, b1) = control, treatment
    if any(value != int(value) for value in (a0, b0, a1, b1)) or a1 > 1000:
        return None
    total = mp.mpf(0)
    for i in range(int(a1)):
        log_term = log_beta(a0 + i, b1 + b0) - mp.log(b1 + i)
        total += mp.exp(log_term - log_beta(1 + i, b1) - log_beta(a0, b0))
    return float(total)


def solve_normal(lift, error, mean, sd):
    """Bayes' rule by quadrature: no conjugacy used."""

    def prior_times_likelihood(x):
        return mp.npdf(x, mean, sd) * mp.npdf(lift, x, error)

    points = sorted(
        {
            mp.mpf(centre) + k * mp.mpf(width)
            for centre, width in ((lift, error), (mean, sd), (0, min(error, sd)))
            for k in range(-14, 15)
        }
    )

    def expect(f, low=None, high=None):
        part = [
            p
            for p in points
            if (low is None or p >= low) and (high is None or p <= high)
        ]
        return mp.quad(lambda x: f(x) * prior_times_likelihood(x), part)

    total = expect(lambda _: 1)
    posterior_mean = expect(lambda x: x) / total
    return {
        "lift": lift,
        "error": error,
        "prior_mean": mean,
        "prior_sd": sd,
        "mean": float(posterior_mean),
        "sd": float(mp.sqrt(expect(lambda x: (x - posterior_mean) ** 2) / total)),
        "probability_above": float(expect(lambda _: 1, low=0) / total),
        "loss_above": float(-expect(lambda x: x, high=0) / total),
        "loss_below": float(expect(lambda x: x, low=0) / total),
    }


if __name__ == "__main__":
    answer = {
        "made_with": f"scipy {version('scipy')}, mpmath {version('mpmath')}",
        "rates": [solve_rates(*case) for case in RATES],
        "normals": [solve_normal(*case) for case in NORMALS],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
