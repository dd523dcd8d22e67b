"""Power of t and z tests by statsmodels."""

import json
from pathlib import Path

import statsmodels
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.proportion import power_proportions_2indep

MEANS = [(0.1, 1571, 0.05), (0.1, 1571, 0.01), (0.4, 30, 0.05), (0.05, 20_000, 0.0125)]
RATIOS = [(0.1, 3000, 1 / 3, 0.05), (0.08, 2500, 4.0, 0.025)]
RATES = [(0.1, 0.11, 14_000, 1.0), (0.1, 0.088, 9_000, 0.25), (0.02, 0.03, 2_000, 3.0)]
MARGINS = [(0.0, 0.1, 2000), (-0.02, 0.1, 3000), (0.05, 0.1, 500)]

if __name__ == "__main__":
    t, z = TTestIndPower(), NormalIndPower()
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}",
        "means": [
            {"case": [d, n, alpha], "power": float(t.power(d, n, alpha))}
            for d, n, alpha in MEANS
        ],
        "unequal_normal": [
            {"case": [d, n, r, a], "power": float(z.power(d, n, a, ratio=r))}
            for d, n, r, a in RATIOS
        ],
        "rates": [
            {
                "case": [p0, p1, n, r],
                # Their first sample is our treatment: (value1 - value2, value2, nobs1).
                "power": float(
                    power_proportions_2indep(
                        p1 - p0, p0, n, ratio=1 / r, return_results=False
                    )
                ),
            }
            for p0, p1, n, r in RATES
        ],
        "margins": [
            {
                "case": [d, m, n],
                "power": float(t.power(d + m, n, 0.025, alternative="larger")),
            }
            for d, m, n in MARGINS
        ],
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer, indent=1))
