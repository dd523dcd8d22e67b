"""The minimum-wage panel of Callaway and Sant'Anna (2021), and csdid's answers on it.

The data are those of the R package did (`mpdta`: teen employment of 500 US counties, 2003
to 2007) as moderndid, under the MIT licence, hands them on. Two environments:
`pip install moderndid==0.2.0` makes panel.csv, `pip install csdid==0.4.3` golden.json.
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
PANEL = HERE / "panel.csv"
KINDS = ("simple", "group", "dynamic", "calendar")


def write_panel() -> None:
    from moderndid import load_mpdta

    frame = pd.DataFrame(load_mpdta().to_dict(as_series=False))
    frame = frame.rename(columns={"countyreal": "county", "first.treat": "since"})
    frame[["county", "year", "lemp", "since", "lpop"]].to_csv(PANEL, index=False)


def solve(control: str) -> dict:
    from csdid.att_gt import ATTgt

    fit = ATTgt(
        yname="lemp",
        tname="year",
        idname="county",
        gname="since",
        data=pd.read_csv(PANEL),
        control_group=control,
        xformla=None,
    ).fit(est_method="reg", base_period="varying", bstrap=False)
    answer = {}
    for kind in KINDS:
        found = fit.aggte(typec=kind, bstrap=False, cband=False).atte
        answer[kind] = {
            "overall": float(found["overall_att"]),
            "overall_se": float(found["overall_se"]),
        }
    return answer


if __name__ == "__main__":
    if "panel" in sys.argv[1:]:
        write_panel()
    else:
        groups = {"never": "nevertreated", "not_yet": "notyettreated"}
        answers = {name: solve(control) for name, control in groups.items()}
        text = json.dumps({"made_with": "csdid 0.4.3", **answers}, indent=1)
        (HERE / "golden.json").write_text(text + "\n", "utf-8")
