"""The trust checks on clean data: each alone, and the verdict over all of them."""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from exp_platform.causal.event_study import NoveltyTrend
from exp_platform.checks.bots import check_bots_by_arm
from exp_platform.checks.budget import apply_budget
from exp_platform.checks.crossover import check_crossover
from exp_platform.checks.facts import (
    BotFacts,
    CrossoverFacts,
    MeanFacts,
    MissingFacts,
    SplitFacts,
)
from exp_platform.checks.homogeneity import compare_shares
from exp_platform.checks.missing import check_missing_values
from exp_platform.checks.novelty import check_novelty
from exp_platform.checks.pre_period import check_pre_period_balance
from exp_platform.checks.pretrend import check_pretrend
from exp_platform.checks.ratio import check_ratio_denominator
from exp_platform.checks.srm import check_srm, check_srm_by_segment
from exp_platform.checks.verdict import assess_verdict
from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.records import (
    CheckResult,
    CheckStatus,
    EstimateStatus,
    PretrendOutcome,
    PretrendTest,
    Verdict,
)

DAYS = 14
HALF = {"A": 0.5, "B": 0.5}
METRICS = ("x", "y", "z")
FAILED = CheckStatus.FAILED


def _split(random: Generator, n: int, subject: str = "") -> SplitFacts:
    treated = random.binomial(n // DAYS, 0.5, size=DAYS).cumsum().tolist()
    looks = tuple(
        {"A": (day + 1) * (n // DAYS) - b, "B": b} for day, b in enumerate(treated)
    )
    return SplitFacts(
        "simulated", HALF, looks[-1], True, "A", looks=looks, subject=subject
    )


def _means(random: Generator, name: str) -> MeanFacts:
    a, b = (random.standard_normal(2) / 100).tolist()
    sizes = (10_000, 10_000)
    return MeanFacts("simulated", name, "A", "B", *sizes, 1 + a, 1 + b, 1.0, 1.0)


def _marked(random: Generator, rate: float) -> tuple[dict[str, int], dict[str, int]]:
    units = {"A": 10_000, "B": 10_000}
    return units, {arm: int(random.binomial(n, rate)) for arm, n in units.items()}


def _novelty(name: str, p_value: float) -> CheckResult:
    ok = EstimateStatus.OK
    trend = NoveltyTrend("simulated", name, "B", ok, slope=0.1, p_value=p_value)
    return check_novelty(trend)


def _pretrend(name: str, p_value: float) -> CheckResult:
    test = PretrendTest(
        "simulated",
        name,
        "A",
        "B",
        EstimateStatus.OK,
        outcome=PretrendOutcome.UNDERPOWERED,
        p_adjusted=p_value,
    )
    return check_pretrend(test)


def _clean_run(random: Generator) -> Iterator[CheckResult]:
    """Every check that has a chance to be wrong, three metrics and four segments."""
    yield check_srm(_split(random, 20_000))
    for device in ("phone", "tablet", "desktop", "tv"):
        yield check_srm_by_segment(_split(random, 5000, device))
    yield check_crossover(CrossoverFacts("simulated", *_marked(random, 0.005)))
    yield check_bots_by_arm(BotFacts("simulated", *_marked(random, 0.002), 100))
    for name in METRICS:
        novel, before = random.uniform(size=2).tolist()
        lost = MissingFacts("simulated", name, *_marked(random, 0.003), n_metrics=3)
        yield check_missing_values(lost)
        yield check_pre_period_balance(_means(random, name))
        yield check_ratio_denominator(_means(random, name))
        yield _novelty(name, novel)
        yield _pretrend(name, before)


def _verdicts(random: Generator, runs: int) -> Values:
    found = [
        assess_verdict("simulated", apply_budget(list(_clean_run(random)))).verdict
        for _ in range(runs)
    ]
    not_trusted = np.array([one is not Verdict.TRUSTED for one in found])
    return {
        "clean experiments that are not TRUSTED": not_trusted,
        "clean experiments of which the budget is used": not_trusted,
        "clean experiments called DO_NOT_USE": np.array(
            [one is Verdict.DO_NOT_USE for one in found]
        ),
    }


def _uncorrected(random: Generator, runs: int) -> Values:
    """15 independent checks at .05, each warning on its own."""
    p_values = random.uniform(size=(runs, 15))
    return {"clean experiments that are TRUSTED": (p_values >= 0.05).all(axis=1)}


def _alone(random: Generator, runs: int) -> Values:
    crossed, lost, balance, shares = [], [], [], []
    for _ in range(runs):
        crossed.append(
            check_crossover(CrossoverFacts("simulated", *_marked(random, 0.005))).status
        )
        missing = MissingFacts("simulated", "x", *_marked(random, 0.005), n_metrics=1)
        lost.append(check_missing_values(missing).status)
        balance.append(check_pre_period_balance(_means(random, "x")).p_value)
        shares.append(compare_shares(*_marked(random, 0.02)))
    return {
        "CROSSOVER failed": np.array([one is FAILED for one in crossed]),
        "MISSING_VALUES failed": np.array([one is FAILED for one in lost]),
        "PRE_PERIOD_BALANCE at p < .01": np.array(balance, dtype=float) < 0.01,
        "shares by arm at p < .05": np.array(shares, dtype=float) < 0.05,
    }


SIMULATIONS = (
    Simulation(
        "verdict_clean",
        "verdict over all checks",
        "clean randomised experiments of 20,000 units, 14 looks, three metrics, four "
        "segments",
        (assess_verdict, apply_budget),
        (
            most("clean experiments that are not TRUSTED", 0.05),
            least("clean experiments of which the budget is used", 0.02),
            most("clean experiments called DO_NOT_USE", 0.005),
        ),
        10_000,
        600,
        _verdicts,
    ),
    Simulation(
        "verdict_uncorrected",
        "15 checks without a budget",
        "clean experiments",
        (),
        (
            disease(
                equal("clean experiments that are TRUSTED", 0.95**15),
                "checks share one budget of false alarms",
                "verdict_clean",
            ),
        ),
        100_000,
        20_000,
        _uncorrected,
    ),
    Simulation(
        "checks_alone",
        "checks with a level of their own",
        "10,000 units an arm; marked units and means alike in both",
        (check_crossover, check_missing_values, check_pre_period_balance),
        (
            most("CROSSOVER failed", 0.001),
            most("MISSING_VALUES failed", 0.001),
            equal("PRE_PERIOD_BALANCE at p < .01", 0.01),
            equal("shares by arm at p < .05", 0.05, 0.002, "whole units"),
        ),
        20_000,
        2_000,
        _alone,
    ),
)
