"""10,000 metric x segment comparisons from moments, beside tea-tasting and gbstats.

    python bench/stats.py [--comparisons 10000] [--gbstats-venv FOLDER] [--no-panel]

Then a panel of up to a million units, beside pyfixest and diff-diff: `bench/panel.py`.

All three read the same moments in one run and must find the same differences. gbstats
pins numpy < 2, so it runs in a virtual environment of its own, made on first use; where
that fails, the reason is printed and its column stays empty. Inputs are built outside
the clock; gbstats and tea-tasting work one comparison at a time because that is what
they offer.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from panel import SIZES
from panel import run as run_panel
from venvs import prepare_venv

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / "data" / "bench" / "gbstats-venv"
REPEATS = 15

GBSTATS = """
import json, sys, time
import numpy as np
from gbstats.frequentist.tests import TwoSidedTTest
from dataclasses import replace
from gbstats.frequentist.tests import FrequentistConfig
from gbstats.models.statistics import (
    RegressionAdjustedStatistic, SampleMeanStatistic, compute_theta
)
from importlib.metadata import version
data = np.load(sys.argv[1])

def mean(arm, i, name):
    n = float(data[f"{arm}_n"][i])
    m, v = (float(data[f"{arm}_{f}{name}"][i]) for f in ("mean", "variance"))
    return SampleMeanStatistic(n=n, sum=n * m, sum_squares=(n - 1) * v + n * m * m)

def adjusted(arm, i):
    n, m, x, c = (
        float(data[f"{arm}_{f}"][i])
        for f in ("n", "mean", "mean_x", "covariance")
    )
    return RegressionAdjustedStatistic(
        n=n,
        post_statistic=mean(arm, i, ""),
        pre_statistic=mean(arm, i, "_x"),
        post_pre_sum_of_products=(n - 1) * c + n * m * x,
        theta=0.0,
    )

def test(control, treatment, config):
    if isinstance(control, RegressionAdjustedStatistic):
        theta = float(compute_theta(control, treatment))
        control, treatment = (replace(arm, theta=theta) for arm in (control, treatment))
    return TwoSidedTTest(control, treatment, config).compute_result()

def run(make):
    config = FrequentistConfig(difference_type="absolute")
    arms = [[make(arm, i) for i in range(len(data["c_n"]))] for arm in ("c", "t")]
    began = time.perf_counter()
    found = [test(c, t, config) for c, t in zip(*arms)]
    return time.perf_counter() - began, [float(r.expected) for r in found]

answer = {"version": version("gbstats")}
for name, make in (("welch", lambda a, i: mean(a, i, "")), ("cuped", adjusted)):
    seconds, differences = run(make)
    answer[name] = {"seconds": seconds, "difference": differences}
print(json.dumps(answer))
"""


def draw_moments(n_comparisons: int) -> dict[str, np.ndarray]:
    """Means, variances and covariances of both arms, as SQL would hand them over."""
    random = np.random.default_rng(20_240_501)
    moments = {}
    for arm, effect in (("c", 0.0), ("t", 0.1)):
        moments[f"{arm}_n"] = random.integers(500, 50_000, n_comparisons).astype(float)
        spread = random.uniform(1, 30, n_comparisons)
        before = random.uniform(1, 30, n_comparisons)
        error = spread / np.sqrt(moments[f"{arm}_n"])
        moments[f"{arm}_mean"] = 10 + effect + random.normal(0, error)
        moments[f"{arm}_variance"] = spread**2
        moments[f"{arm}_mean_x"] = 9 + random.normal(0, 0.1, n_comparisons)
        moments[f"{arm}_variance_x"] = before**2
        moments[f"{arm}_covariance"] = 0.6 * spread * before
    return moments


def run_ours(moments: dict[str, np.ndarray], method: str) -> tuple[float, np.ndarray]:
    from exp_platform.stats.adjustment import Covariates, adjust_arms
    from exp_platform.stats.welch import Arm, compare_arms

    arms, covariates = [], []
    for arm in ("c", "t"):
        columns = [moments[f"{arm}_{name}"] for name in ("n", "mean", "variance")]
        arms.append(Arm(*columns))
        covariates.append(
            Covariates(
                moments[f"{arm}_mean_x"][:, None],
                moments[f"{arm}_variance_x"][:, None, None],
                moments[f"{arm}_covariance"][:, None],
            )
        )
    began = time.perf_counter()
    if method == "welch":
        found = compare_arms(arms[0], arms[1], 0.05)
    else:
        pair = (covariates[0], covariates[1])
        adjusted = adjust_arms(*arms, pair, alpha=0.05, theta="total")
        found = adjusted.comparison
    return time.perf_counter() - began, found.inference.difference


def run_tea(moments: dict[str, np.ndarray], method: str) -> tuple[float, np.ndarray]:
    import tea_tasting
    from tea_tasting.aggr import Aggregates

    size = len(moments["c_n"])
    arms = []
    for arm in ("c", "t"):
        column = {k[2:]: v.tolist() for k, v in moments.items() if k.startswith(arm)}
        arms.append(
            [
                Aggregates(
                    count_=int(column["n"][i]),
                    mean_={"y": column["mean"][i], "x": column["mean_x"][i]},
                    var_={"y": column["variance"][i], "x": column["variance_x"][i]},
                    cov_={("x", "y"): column["covariance"][i]},
                )
                for i in range(size)
            ]
        )
    covariate = "x" if method == "cuped" else None
    metric = tea_tasting.Mean("y", covariate)
    began = time.perf_counter()
    found = [
        metric.analyze_aggregates(control, treatment)
        for control, treatment in zip(*arms, strict=True)
    ]
    seconds = time.perf_counter() - began
    return seconds, np.array([one.effect_size for one in found])


def run_gbstats(folder: Path, moments: dict[str, np.ndarray]) -> dict:
    with tempfile.TemporaryDirectory() as space:
        path = Path(space) / "moments.npz"
        np.savez(path, **moments)
        command = [str(folder / "bin" / "python"), "-W", "ignore", "-c", GBSTATS]
        done = subprocess.run(
            [*command, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return {"reason": (done.stderr.strip().splitlines() or ["failed"])[-1][:200]}
    return json.loads(done.stdout)


def check_same(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    # Differences are about .1 on means of 10: 1e-12 of a mean is 1e-10 of them.
    if not np.allclose(ours, theirs, rtol=1e-9, atol=1e-11):
        worst = np.max(np.abs(ours - theirs))
        raise SystemExit(f"{name} finds other differences, by up to {worst:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--gbstats-venv", type=Path, default=VENV)
    parser.add_argument("--no-panel", action="store_true")
    options = parser.parse_args()
    moments = draw_moments(options.comparisons)
    reason = prepare_venv(options.gbstats_venv, ["gbstats"], "gbstats")
    peer = {"reason": reason} if reason else run_gbstats(options.gbstats_venv, moments)
    print(
        f"{options.comparisons:,} comparisons from moments; ours: median of {REPEATS}"
        " runs, the others take seconds and run once"
    )
    for method in ("welch", "cuped"):
        run_ours(moments, method)  # scipy's special functions are loaded on first use
        ours = [run_ours(moments, method) for _ in range(REPEATS)]
        tea_seconds, tea = run_tea(moments, method)
        check_same("tea-tasting", ours[0][1], tea)
        times = {"tea-tasting": tea_seconds}
        if method in peer:
            check_same("gbstats", ours[0][1], np.array(peer[method]["difference"]))
            times[f"gbstats {peer['version']}"] = peer[method]["seconds"]
        mine = statistics.median(t for t, _ in ours)
        print(f"{method}: exp_platform {mine * 1e3:.1f} ms")
        for name, seconds in times.items():
            print(f"  {name:<16}{seconds * 1e3:>10.1f} ms  {seconds / mine:>8.0f}x")
    if "reason" in peer:
        print(f"gbstats skipped: {peer['reason']}")
    if not options.no_panel:
        run_panel(SIZES, memory_gb=16.0, repeats=3)


if __name__ == "__main__":
    main()
