"""The false-alarm budget on clean data, over the whole run (METHODS section 6)."""

import numpy as np
import pytest

from exp_platform.causal.event_study import NoveltyTrend
from exp_platform.checks.bots import check_bots_by_arm
from exp_platform.checks.budget import apply_budget
from exp_platform.checks.crossover import check_crossover
from exp_platform.checks.facts import BotFacts, CrossoverFacts, MeanFacts, SplitFacts
from exp_platform.checks.novelty import check_novelty
from exp_platform.checks.pre_period import check_pre_period_balance
from exp_platform.checks.pretrend import check_pretrend
from exp_platform.checks.ratio import check_ratio_denominator
from exp_platform.checks.srm import check_srm, check_srm_by_segment
from exp_platform.checks.verdict import assess_verdict
from exp_platform.records import (
    EstimateStatus,
    PretrendOutcome,
    PretrendTest,
    Verdict,
)

pytestmark = pytest.mark.calibration

RUNS = 2000
DAYS = 14
HALF = {"A": 0.5, "B": 0.5}


def split_facts(random, n, **changes):
    days = random.binomial(n // DAYS, 0.5, size=DAYS).cumsum()
    looks = tuple(
        {"A": int(a), "B": (i + 1) * (n // DAYS) - int(a)} for i, a in enumerate(days)
    )
    return SplitFacts("e", HALF, looks[-1], True, "A", looks=looks, **changes)


def means(random, name):
    a, b = random.standard_normal(2) / 100
    return MeanFacts("e", name, "A", "B", 10_000, 10_000, 1 + a, 1 + b, 1.0, 1.0)


def marked(random, rate):
    units = {"A": 10_000, "B": 10_000}
    return units, {arm: int(random.binomial(n, rate)) for arm, n in units.items()}


def clean_run(random):
    p_trend, p_pretrend = random.uniform(size=3), random.uniform(size=3)
    yield check_srm(split_facts(random, 20_000))
    for device in ("phone", "tablet", "desktop", "tv", "stage=exposed"):
        yield check_srm_by_segment(split_facts(random, 5000, subject=device))
    yield check_crossover(CrossoverFacts("e", *marked(random, 0.005)))
    yield check_bots_by_arm(BotFacts("e", *marked(random, 0.002), 100))
    for name, p_novel, p_before in zip("xyz", p_trend, p_pretrend, strict=True):
        yield check_pre_period_balance(means(random, name))
        yield check_ratio_denominator(means(random, name))
        ok = EstimateStatus.OK
        yield check_novelty(
            NoveltyTrend("e", name, "B", ok, slope=0.1, p_value=float(p_novel))
        )
        yield check_pretrend(
            PretrendTest(
                "e",
                name,
                "A",
                "B",
                ok,
                outcome=PretrendOutcome.UNDERPOWERED,
                p_adjusted=float(p_before),
            )
        )


def test_clean_data_are_trusted():
    random = np.random.default_rng(20260302)
    verdicts = [
        assess_verdict("e", apply_budget(list(clean_run(random)))).verdict
        for _ in range(RUNS)
    ]
    not_trusted = 1 - verdicts.count(Verdict.TRUSTED) / RUNS
    do_not_use = verdicts.count(Verdict.DO_NOT_USE) / RUNS
    # 3 Monte Carlo standard errors above the two budgets.
    assert not_trusted <= 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5
    assert do_not_use <= 0.005 + 3 * (0.005 * 0.995 / RUNS) ** 0.5
    # And the budget is used: the shared checks are not silenced.
    assert not_trusted >= 0.02
