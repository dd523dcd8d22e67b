"""Every estimator there is, how it is called, and which properties it has."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from exp_platform.causal.did import estimate_did, estimate_few_clusters, panel_of
from exp_platform.causal.did_adjusted import estimate_did_adjusted
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.instrument import compliance_of_units, estimate_cace
from exp_platform.causal.novelty import estimate_novelty
from exp_platform.causal.observational import (
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.causal.synthetic_control import (
    DonorPanel,
    estimate_synthetic_control,
)
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.records import (
    Estimate,
)
from exp_platform.stats.bayes import NormalPrior, estimate_bayes_normal
from exp_platform.stats.bayes_binomial import estimate_bayes_proportions
from exp_platform.stats.bootstrap import UnitSample, estimate_bootstrap
from exp_platform.stats.cluster import estimate_cluster_means, summarise_clusters
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    estimate_confidence_sequence,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.dunnett import adjust_dunnett
from exp_platform.stats.group_sequential import estimate_group_sequential
from exp_platform.stats.looks import SequentialPlan
from exp_platform.stats.msprt import estimate_msprt
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.quantile import estimate_quantile, summarise_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.regression import (
    estimate_adjusted,
    estimate_lin,
    summarise_adjustment,
)
from exp_platform.stats.stratification import estimate_post_stratified
from exp_platform.stats.tail import (
    estimate_capped,
    find_threshold,
    summarise_tail,
)
from exp_platform.stats.welch import estimate_welch
from tests.stats.drawn import (
    EXACT,
    MEAN,
    RATIO,
    SHARE,
    Arm,
    Totals,
    both,
    changes,
    gram,
    looks,
    observed,
    panel,
    strata,
    sums,
    total,
)


@dataclass(frozen=True)
class Case:
    """One estimator and what must happen to its row.

    Attributes:
        run: control, treatment and a way to total an arm -> row.
        makes: the function it stands for.
        swaps: `flip` the sign, `refuse` it, or None: arms have different parts.
        scales, shifts: the difference follows the unit, not the origin, of the values.
        merges: reads MetricTotals only.
    """

    run: Callable[[Arm, Arm, Totals], Estimate]
    makes: Callable[..., Any]
    swaps: str | None = "flip"
    scales: bool = True
    shifts: bool = True
    merges: bool = False


def case(makes: Callable[..., Any], run: Any, **flags: Any) -> Case:
    return Case(run, makes, **flags)


def on_totals(makes: Any, settings: Any = MEAN, *, flags: Any = None, **kinds: Any):
    """An estimator of two MetricTotals."""
    options = kinds.pop("options", {})
    return case(
        makes,
        lambda c, t, s: makes(s(c, **kinds), s(t, **kinds), settings, **options),
        merges=True,
        **(flags or {}),
    )


def _capped(c: Arm, t: Arm, s: Totals) -> Estimate:
    threshold = find_threshold(both(c, t, "y"), top_share=0.02)
    tails = [summarise_tail(("e", "m", a.name), a.y, threshold) for a in (c, t)]
    return estimate_capped(s(c), s(t), (tails[0], tails[1]), MEAN, top_share=0.02)


def _adjustment(arm: Arm):
    return summarise_adjustment(
        ("exp_1", "spend", arm.name), arm.y, {"x": arm.x, "z": arm.z}
    )


def _quantile(arm: Arm):
    return summarise_quantile(("exp_1", "spend", arm.name), arm.y, 0.4)


def _sample(arm: Arm) -> UnitSample:
    return UnitSample("exp_1", "spend", arm.name, arm.y[:, None])


def clusters_of(arm: Arm, size: int = 4):
    labels = np.arange(len(arm.y)) // size
    return summarise_clusters(("exp_1", "spend", arm.name), arm.y, labels)


def _rates(arm: Arm) -> Arm:
    return replace(arm, y=(arm.y > 15.0) * 1.0)


def _series(arm: Arm) -> Any:
    """Twenty series of sixteen periods."""
    return arm.days[:40].reshape(20, 16)


SHARES = {"scales": False, "shifts": False}
RATIOS = {"shifts": False}
PLAN = SequentialPlan(planned_units=(240, 216), clock="units")

ESTIMATORS: dict[str, Case] = {
    "welch": on_totals(estimate_welch),
    "proportions": case(
        estimate_proportions,
        lambda c, t, s: estimate_proportions(s(_rates(c)), s(_rates(t)), SHARE),
        merges=True,
        **SHARES,
    ),
    "ratio": on_totals(estimate_ratio, RATIO, flags=RATIOS, ratio=True),
    "cuped": on_totals(estimate_cuped, covariate=True),
    "cuped_total": on_totals(
        estimate_cuped, covariate=True, options={"theta": "total"}
    ),
    "cuped_ratio": on_totals(
        estimate_cuped, RATIO, flags=RATIOS, covariate=True, ratio=True
    ),
    "adjusted": case(
        estimate_adjusted,
        lambda c, t, _: estimate_adjusted(_adjustment(c), _adjustment(t), MEAN),
    ),
    "lin": case(
        estimate_lin,
        lambda c, t, _: estimate_lin(_adjustment(c), [_adjustment(t)], MEAN)[0],
    ),
    "post_stratified": case(
        estimate_post_stratified,
        lambda c, t, s: estimate_post_stratified(strata(c, s), strata(t, s), MEAN),
        merges=True,
    ),
    "clusters": case(
        estimate_cluster_means,
        lambda c, t, _: estimate_cluster_means(clusters_of(c), clusters_of(t), MEAN),
    ),
    "quantile": case(
        estimate_quantile,
        lambda c, t, _: estimate_quantile(_quantile(c), _quantile(t), MEAN),
    ),
    "bootstrap": case(
        estimate_bootstrap,
        lambda c, t, _: estimate_bootstrap(
            _sample(c), _sample(t), MEAN, seed=1, n_resamples=200
        ),
        swaps=None,  # the arms draw from streams of their own
    ),
    "capped": case(estimate_capped, _capped, merges=True),
    "bayes_normal": on_totals(
        estimate_bayes_normal, flags={"swaps": None, "shifts": False}
    ),
    "bayes_absolute": on_totals(
        estimate_bayes_normal,
        flags={"scales": False},
        options={"prior": NormalPrior(0.0, 0.5, "absolute")},
    ),
    "bayes_rates": case(
        estimate_bayes_proportions,
        lambda c, t, s: estimate_bayes_proportions(s(_rates(c)), s(_rates(t)), SHARE),
        merges=True,
        **SHARES,
    ),
    "confidence_sequence": case(
        estimate_confidence_sequence,
        lambda c, t, s: estimate_confidence_sequence(
            looks(c, s), looks(t, s), MEAN, plan=SequencePlan((240, 216))
        )[-1],
        merges=True,
    ),
    "group_sequential": case(
        estimate_group_sequential,
        lambda c, t, s: estimate_group_sequential(
            looks(c, s), looks(t, s), MEAN, plan=PLAN
        )[-1],
        merges=True,
    ),
    "msprt": case(
        estimate_msprt,
        lambda c, t, s: estimate_msprt(looks(c, s), looks(t, s), MEAN, tau=0.3)[-1],
        merges=True,
        scales=False,  # tau is a difference
    ),
    "dunnett": case(
        adjust_dunnett,
        lambda c, t, s: adjust_dunnett([estimate_welch(s(c), s(t), MEAN)])[0],
        merges=True,
    ),
    "did": case(
        estimate_did,
        lambda c, t, _: estimate_did(panel_of(gram(c)), panel_of(gram(t)), MEAN),
    ),
    "did_few_clusters": case(
        estimate_few_clusters,
        lambda c, t, _: estimate_few_clusters(
            panel_of(gram(c)), panel_of(gram(t)), MEAN
        ),
    ),
    "did_by_cluster": case(
        estimate_did_by_cluster,
        lambda c, t, _: estimate_did_by_cluster(sums(c), sums(t), MEAN),
    ),
    "did_randomisation": case(
        estimate_by_randomisation,
        lambda c, t, _: estimate_by_randomisation(sums(c), sums(t), MEAN),
    ),
    "did_adjusted": case(
        estimate_did_adjusted,
        lambda c, t, _: estimate_did_adjusted(changes(c, t), MEAN),
        swaps=None,  # an effect on the treated arm's units
    ),
    "event_study": case(
        estimate_event_study,
        lambda c, t, _: estimate_event_study(gram(c), gram(t), MEAN),
    ),
    "novelty": case(
        estimate_novelty, lambda c, t, _: estimate_novelty(gram(c), gram(t), MEAN)
    ),
    "cace": case(
        estimate_cace,
        lambda c, t, _: estimate_cace(
            *(
                compliance_of_units(a.y, a.uptake, metric_name="m", variant=a.name)
                for a in (c, t)
            ),
            MEAN,
        ),
        swaps="refuse",
    ),
    "regression_adjustment": case(
        estimate_regression_adjustment,
        lambda c, t, _: estimate_regression_adjustment(observed(c, t), MEAN),
    ),
    "aipw": case(estimate_aipw, lambda c, t, _: estimate_aipw(observed(c, t), MEAN)),
    "staggered": case(
        estimate_staggered,
        lambda c, t, _: estimate_staggered(panel(c, t), MEAN).estimates[0],
    ),
    "twfe": case(estimate_twfe, lambda c, t, _: estimate_twfe(panel(c, t), MEAN)),
    "synthetic_control": case(
        estimate_synthetic_control,
        lambda c, t, _: estimate_synthetic_control(
            DonorPanel(
                *("exp_1", "spend", "control", "treatment", tuple(range(-12, 4))),
                _series(t).mean(axis=0),
                _series(c),
                tuple(f"d{i}" for i in range(20)),
            ),
            MEAN,
        ),
        swaps=None,
    ),
}


def which(**flags: Any) -> list[str]:
    """Estimators with these flags."""
    return [
        name
        for name, one in ESTIMATORS.items()
        if all(getattr(one, flag) == value for flag, value in flags.items())
    ]


def run(name: str, control: Arm, treatment: Arm, totals: Totals = total) -> Estimate:
    row = ESTIMATORS[name].run(control, treatment, totals)
    assert row.is_ok, row.reason
    return row


def assert_same(one: Any, other: Any, rel: float = EXACT) -> None:
    """Equal, null where null."""
    assert (one is None) == (other is None)
    if one is not None:
        assert one == pytest.approx(other, rel=rel, abs=1e-12)
