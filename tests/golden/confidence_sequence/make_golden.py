"""Mixture evidence by mpmath's quadrature: the average likelihood ratio, integrated.

Nothing of the closed forms is used: the effect is integrated over its normal mixture
(half-normal for one side) and the critical value is where the evidence is 1 / alpha.
"""

import json
from importlib.metadata import version
from pathlib import Path

import mpmath as mp

mp.mp.dps = 25

# z, variance of the mixture / sampling variance, alpha.
CASES = [(2.1, 0.05, 0.05), (3.3, 1.7, 0.05), (-1.2, 9.0, 0.01), (4.0, 250.0, 0.1)]


def evidence(z, ratio, sides):
    """Likelihood ratio of an effect of x standard errors, averaged over x."""
    width = mp.sqrt(ratio)
    points = [k * width for k in range(-12, 13, 3)] + [z + k for k in range(-12, 13, 3)]
    low = mp.mpf(0) if sides == 1 else -mp.inf
    inner = sorted({p for p in points if p > low})
    value = mp.quad(
        lambda x: mp.npdf(x, 0, width) * mp.exp(x * z - x**2 / 2), [low, *inner, mp.inf]
    )
    return value * (2 if sides == 1 else 1)


def critical(ratio, alpha, sides):
    return mp.findroot(
        lambda z: mp.log(evidence(z, ratio, sides)) + mp.log(alpha),
        (mp.mpf(1), mp.mpf(5)),
        solver="anderson",
        tol=1e-18,
    )


if __name__ == "__main__":
    rows = [
        {
            "z": z,
            "ratio": ratio,
            "alpha": alpha,
            "sides": sides,
            "log_e": float(mp.log(evidence(mp.mpf(z), mp.mpf(ratio), sides))),
            "critical": float(critical(mp.mpf(ratio), mp.mpf(alpha), sides)),
        }
        for z, ratio, alpha in CASES
        for sides in (1, 2)
    ]
    answer = {"made_with": f"mpmath {version('mpmath')}", "cases": rows}
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
