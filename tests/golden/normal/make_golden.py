"""Tails and quantiles of the normal distribution with 40 digits (mpmath 1.3).

Run: python tests/golden/normal/make_golden.py, with mpmath installed.
"""

import json
from pathlib import Path

import mpmath

mpmath.mp.dps = 40


def tail(z: float) -> mpmath.mpf:
    return mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2


def quantile(tail_area: float) -> mpmath.mpf:
    """The z with P(Z > z) = tail_area, as a root: no approximation is inverted."""
    area = mpmath.mpf(tail_area)
    # the logarithm of the tail is nearly a parabola: few steps whatever the area
    excess = lambda z: mpmath.log(tail(z) / area)  # noqa: E731
    return mpmath.findroot(excess, (0, 40), solver="illinois", maxsteps=200)


# 1/64 is exact in binary, so that z means the same number everywhere
z = [i / 64 for i in range(38 * 64 + 1)]
alphas = [k / 512 for k in range(1, 512)] + [10.0**-k for k in range(2, 61)]
golden = {
    "z": z,
    "tail": [float(tail(value)) for value in z],
    "alpha": alphas,
    "quantile": [float(quantile(alpha / 2)) for alpha in alphas],
}
Path(__file__).with_name("golden.json").write_text(json.dumps(golden) + "\n", "utf-8")
