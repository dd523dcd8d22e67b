"""Weighted, clustered panels and repeated cross-sections: statsmodels."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm

random = np.random.default_rng(61)
EVENT = 2004


def draw() -> pd.DataFrame:
    """120 shops in 48 towns over 2000-2007, towns treated from 2004 on."""
    n, years = 120, np.arange(2000, 2008)
    town = np.arange(n) % 48
    treated = (town % 2).astype(int)
    weight = random.integers(1, 9, n)
    level = random.normal(20, 3, n)
    rows = []
    for year in years:
        shock = random.normal(0, 1, 48)[town]
        effect = 1.5 * treated * (year >= EVENT)
        sales = level + 0.3 * (year - 2000) + shock + effect + random.normal(0, 1, n)
        rows.append(
            pd.DataFrame(
                {
                    "shop": [f"s{i:03d}" for i in range(n)],
                    "town": [f"t{t:02d}" for t in town],
                    "year": year,
                    "treated": treated,
                    "weight": weight,
                    "sales": sales.round(4),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def regress(values: pd.Series, units: pd.DataFrame, weight: pd.Series) -> dict:
    fit = sm.WLS(values, sm.add_constant(units.treated), weights=weight).fit(
        cov_type="cluster",
        cov_kwds={"groups": pd.factorize(units.town)[0]},
        use_t=True,
    )
    lower, upper = fit.conf_int().loc["treated"]
    return {
        "difference": fit.params["treated"],
        "standard_error": fit.bse["treated"],
        "p_value": fit.pvalues["treated"],
        "ci_lower": lower,
        "ci_upper": upper,
    }


def changes(panel: pd.DataFrame) -> dict:
    wide = panel.pivot_table(index="shop", columns="year", values="sales")
    units = panel.drop_duplicates("shop").set_index("shop")
    pre, post = (
        wide.loc[:, side].mean(axis=1)
        for side in (wide.columns < EVENT, wide.columns >= EVENT)
    )
    even = pd.Series(1.0, index=units.index)
    return {
        "did_2x2": regress(post - pre, units, even),
        "did_2x2_weighted": regress(post - pre, units, units.weight),
        "event_study": regress(post - wide[EVENT - 1], units, even),
        "event_study_weighted": regress(post - wide[EVENT - 1], units, units.weight),
    }


def cells(panel: pd.DataFrame) -> dict:
    """Every row a unit of its own: the four cells of arm x period, HC1."""
    rows = panel[panel.year.isin([EVENT - 1, EVENT])]
    post = (rows.year >= EVENT).astype(int)
    design = pd.DataFrame({"treated": rows.treated, "post": post})
    design["both"] = rows.treated * post
    fit = sm.OLS(rows.sales, sm.add_constant(design)).fit(cov_type="HC1")
    return {"difference": fit.params["both"], "standard_error": fit.bse["both"]}


if __name__ == "__main__":
    panel = draw()
    answer = {
        "made_with": f"statsmodels {statsmodels.__version__}",
        "rows": panel.to_dict("list"),
        "cross_section": cells(panel),
        **changes(panel),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(answer))
