"""Thornton's HIV trial, from a package on PyPI to a decision memo.

    pip install causaldata
    python examples/thornton.py [FOLDER]

In rural Malawi people were tested for HIV and drew a voucher, worth something or
nothing, to be redeemed when they fetched their result (Thornton 2008, American Economic
Review 98). The question: does any incentive bring more people to learn their status?

What is analysed: the person is the unit, because each person drew a voucher; the arms
are "no incentive" and "incentive"; the outcome is whether the person got the result.
People without a recorded draw or outcome are left out. Two limits are stated and not
hidden: the paper also clusters its errors by village, which an A/B comparison does not
do here, and the shares of vouchers in the bags are not in the data, so the observed
shares stand in as planned ones and the split of units (SRM) says nothing.
"""

import csv
import math
import statistics
import sys
from pathlib import Path

import exp_platform
from exp_platform.api import settings_of
from exp_platform.pipelines.import_file import import_file
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.pipelines.project import lay_out_project

EXPERIMENT = "thornton_hiv"
NO, YES = "no incentive", "incentive"


def load_people() -> list[dict[str, object]]:
    """People with a draw and an outcome, from the package's data."""
    from causaldata import thornton_hiv

    people = thornton_hiv.load_pandas().data.dropna(subset=["any", "got"])
    return [
        {
            "arm": YES if person["any"] else NO,
            "got_result": int(person["got"]),
            "village": "" if math.isnan(person["villnum"]) else int(person["villnum"]),
        }
        for person in people.to_dict("records")
    ]


def write_csv(file: Path, people: list[dict[str, object]]) -> None:
    """One row per person."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(people[0]))
        writer.writeheader()
        writer.writerows(people)


def compute_directly(people: list[dict[str, object]]) -> tuple[float, float]:
    """Difference in means and its standard error, by the textbook."""
    arms = {
        arm: [float(str(p["got_result"])) for p in people if p["arm"] == arm]
        for arm in (NO, YES)
    }
    difference = statistics.fmean(arms[YES]) - statistics.fmean(arms[NO])
    parts = [statistics.variance(v) / len(v) for v in arms.values()]
    return difference, math.sqrt(sum(parts))


def main() -> None:
    """Write, import, run, compare."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "thornton")
    if not (folder / "configs").exists():
        lay_out_project(folder)
    config = folder / "configs" / "dev.yaml"
    people = load_people()
    file = folder / "thornton.csv"
    write_csv(file, people)
    share = sum(p["arm"] == YES for p in people) / len(people)
    request = ImportRequest(
        variant="arm",
        control=NO,
        metrics={"got_result": "proportion"},
        weights={NO: 1 - share, YES: share},
    )
    import_file(settings_of(config), file, EXPERIMENT, request)
    outcome = exp_platform.run(EXPERIMENT, config=config)
    (estimate,) = (
        e
        for e in exp_platform.results(EXPERIMENT, config=config)
        if e.method == "welch_t" and e.segment == "all"
    )
    difference, error = compute_directly(people)
    print(f"people: {len(people):,}, memo: {outcome.memo.markdown}")
    print(f"platform: {estimate.difference:+.6f}, SE {estimate.standard_error:.6f}")
    print(f"directly: {difference:+.6f}, SE {error:.6f}")
    agree = math.isclose(estimate.difference or 0.0, difference, rel_tol=1e-12)
    agree &= math.isclose(estimate.standard_error or 0.0, error, rel_tol=1e-12)
    print("they agree" if agree else "THEY DIFFER")
    if not agree:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
