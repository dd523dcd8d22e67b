"""Callaway-Sant'Anna by csdid and diff-diff, on synthetic panels and castle doctrine.

Run in an environment of its own: `pip install csdid==0.4.3 diff-diff==3.13
causaldata`. Standard errors are the analytic ones, without bootstrap.
"""

import json
import warnings
from pathlib import Path

import causaldata
import numpy as np
import pandas as pd
from csdid.att_gt import ATTgt
from diff_diff import CallawaySantAnna

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
KINDS = ("simple", "group", "dynamic", "calendar")


def draw(seed: int, cohorts: list[int], n: int = 180) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    unit = np.arange(n)
    x = random.normal(0, 1, n).round(4)
    cohort = random.choice(cohorts, n)
    level = random.normal(5, 1, n) + 0.3 * x
    rows = []
    for year in range(2001, 2008):
        on = (cohort > 0) & (year >= cohort)
        effect = on * (0.5 + 0.25 * (year - cohort) + 0.1 * (cohort - 2003))
        noise = random.normal(0, 0.7, n)
        trend = 0.2 * (year - 2001) + 0.05 * x * (year - 2001)
        rows.append(
            pd.DataFrame(
                {
                    "unit": unit,
                    "year": year,
                    "cohort": cohort,
                    "x": x,
                    "weight": (1 + (unit % 5) / 4),
                    "cluster": unit // 3,
                    "y": (level + trend + effect + noise).round(5),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def by_csdid(frame: pd.DataFrame, control: str, **options: str | None) -> dict:
    base = options.pop("base", "varying")
    method = options.pop("method", "reg")
    fit = ATTgt(
        yname="y",
        tname="year",
        idname="unit",
        gname="cohort",
        data=frame.copy(),
        control_group=control,
        xformla=options.get("formula"),
        weights_name=options.get("weight"),
    ).fit(est_method=method, base_period=base, bstrap=False)
    effects = fit.results
    answer = {
        "cohort": np.asarray(effects["group"], float).tolist(),
        "period": np.asarray(effects["year"], float).tolist(),
        "estimate": np.asarray(effects["att"], float).tolist(),
        "standard_error": np.asarray(effects["se"], float).tolist(),
    }
    for kind in KINDS:
        made = fit.aggte(typec=kind, bstrap=False, cband=False).atte
        answer[kind] = {
            "overall": float(made["overall_att"]),
            "overall_se": float(np.asarray(made["overall_se"]).ravel()[0]),
        }
        if kind != "simple":
            answer[kind] |= {
                "at": np.asarray(made["egt"], float).tolist(),
                "estimate": np.asarray(made["att_egt"], float).tolist(),
                "standard_error": np.asarray(made["se_egt"], float).ravel().tolist(),
            }
    return answer


def by_diff_diff(frame: pd.DataFrame, control: str, covariates: list | None) -> dict:
    fit = CallawaySantAnna(
        control_group=control,
        estimation_method="dr" if covariates else "reg",
        cluster=None,
    ).fit(
        frame,
        outcome="y",
        unit="unit",
        time="year",
        first_treat="cohort",
        covariates=covariates,
    )
    keys = sorted(fit.group_time_effects)
    return {
        "cohort": [float(g) for g, _ in keys],
        "period": [float(t) for _, t in keys],
        "estimate": [float(fit.group_time_effects[k]["effect"]) for k in keys],
        "standard_error": [float(fit.group_time_effects[k]["se"]) for k in keys],
        "overall": float(fit.overall_att),
        "overall_se": float(fit.overall_se),
    }


def castle() -> pd.DataFrame:
    frame = causaldata.castle.load_pandas().data
    treated = frame[frame.post > 0].groupby("sid").year.min()
    frame = frame.assign(
        unit=frame.sid.astype(int),
        year=frame.year.astype(int),
        cohort=frame.sid.map(treated).fillna(0).astype(int),
    )
    # Stored as 32-bit floats: sums must not be taken in them.
    return frame.assign(
        y=frame.l_homicide.astype(float), weight=frame.popwt.astype(float)
    )[["unit", "year", "cohort", "y", "weight"]]


if __name__ == "__main__":
    usual = draw(1, [0, 0, 2003, 2004, 2006])
    all_treated = draw(2, [2003, 2005, 2007])
    never, not_yet = "nevertreated", "notyettreated"
    cases = {
        "never": by_csdid(usual, never),
        "not_yet": by_csdid(usual, not_yet),
        "universal": by_csdid(usual, not_yet, base="universal"),
        "weighted": by_csdid(usual, never, weight="weight"),
        "all_treated": by_csdid(all_treated, not_yet),
        "outcome_regression": by_csdid(usual, never, formula="y~x", method="reg"),
        "weighting": by_csdid(usual, never, formula="y~x", method="ipw"),
        "doubly_robust": by_csdid(usual, not_yet, formula="y~x", method="dr"),
        "castle": by_csdid(castle(), never),
        "castle_weighted": by_csdid(castle(), never, weight="weight"),
    }
    answer = {
        "made_with": "csdid 0.4.3, diff-diff 3.13.0, causaldata",
        "panels": {
            "usual": usual.to_dict("list"),
            "all_treated": all_treated.to_dict("list"),
        },
        "csdid": cases,
        "diff_diff": {
            "never": by_diff_diff(usual, "never_treated", None),
            "not_yet": by_diff_diff(usual, "not_yet_treated", None),
            "doubly_robust": by_diff_diff(usual, "not_yet_treated", ["x"]),
        },
    }
    (HERE / "golden.json").write_text(json.dumps(answer))
