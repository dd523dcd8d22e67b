"""Two-way fixed effects by pyfixest and linearmodels, Goodman-Bacon by diff-diff.

Run in an environment of its own: `pip install pyfixest==0.60 linearmodels
diff-diff==3.13 causaldata`. The panel is that of the golden answers for staggered
adoption; diff-diff decomposes unweighted panels only.
"""

import json
import warnings
from pathlib import Path

import causaldata
import pandas as pd
import pyfixest
from diff_diff import BaconDecomposition
from linearmodels import PanelOLS

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent


def solve(frame: pd.DataFrame, cluster: str, weights: str | None = None) -> dict:
    """Factor G/(G-1) x (N-1)/(N-k), k without effects nested in clusters (fixest)."""
    on = (frame.cohort > 0) & (frame.year >= frame.cohort)
    frame = frame.assign(on=on.astype(float))
    fit = pyfixest.feols(
        "y ~ on | unit + year",
        frame,
        vcov={"CRV1": cluster},
        weights=weights,
        ssc=pyfixest.ssc(k_fixef="nonnested"),
    )
    return {
        "estimate": float(fit.coef()["on"]),
        "standard_error": float(fit.se()["on"]),
        "p_value": float(fit.pvalue()["on"]),
    }


def solve_by_linearmodels(frame: pd.DataFrame) -> dict:
    on = (frame.cohort > 0) & (frame.year >= frame.cohort)
    frame = frame.assign(on=on.astype(float)).set_index(["unit", "year"])
    fit = PanelOLS(frame.y, frame[["on"]], entity_effects=True, time_effects=True).fit(
        cov_type="clustered", cluster_entity=True
    )
    return {
        "estimate": float(fit.params["on"]),
        "standard_error": float(fit.std_errors["on"]),
    }


def decompose(frame: pd.DataFrame) -> list:
    found = BaconDecomposition(weights="exact").fit(
        frame, outcome="y", unit="unit", time="year", first_treat="cohort"
    )
    return [
        [
            float(one.treated_group),
            0.0 if one.control_group == "never_treated" else float(one.control_group),
            one.comparison_type,
            float(one.weight),
            float(one.estimate),
        ]
        for one in found.comparisons
    ]


def castle() -> pd.DataFrame:
    frame = causaldata.castle.load_pandas().data
    treated = frame[frame.post > 0].groupby("sid").year.min()
    return frame.assign(
        unit=frame.sid.astype(int),
        year=frame.year.astype(int),
        cohort=frame.sid.map(treated).fillna(0).astype(int),
        # Stored as 32-bit floats: sums must not be taken in them.
        y=frame.l_homicide.astype(float),
        weight=frame.popwt.astype(float),
    )


if __name__ == "__main__":
    panels = json.loads((HERE.parent / "staggered" / "golden.json").read_text())
    usual = pd.DataFrame(panels["panels"]["usual"])
    answer = {
        "made_with": "pyfixest 0.60.0, linearmodels 7.1, diff-diff 3.13.0",
        "by_unit": solve(usual, "unit"),
        "by_cluster": solve(usual, "cluster"),
        "weighted": solve(usual, "unit", "weight"),
        "castle": solve(castle(), "unit"),
        "castle_weighted": solve(castle(), "unit", "weight"),
        "linearmodels": solve_by_linearmodels(usual),
        "bacon": decompose(usual),
        "bacon_castle": decompose(castle()),
    }
    (HERE / "golden.json").write_text(json.dumps(answer, indent=1))
