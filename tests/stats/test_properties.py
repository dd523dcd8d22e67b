"""What must hold for every estimator there is; one registry, one test per property.

A new estimator gets a line in ESTIMATORS; `test_every_estimator_is_registered` asks for
it.
"""

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

import exp_platform.causal
import exp_platform.stats
from exp_platform.causal.cluster_sums import sum_clusters
from exp_platform.causal.did import estimate_did, estimate_few_clusters, panel_of
from exp_platform.causal.did_adjusted import UnitChanges, estimate_did_adjusted
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.instrument import compliance_of_units, estimate_cace
from exp_platform.causal.novelty import estimate_novelty
from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.causal.panel_data import NEVER, PanelData
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.causal.synthetic_control import (
    DonorPanel,
    estimate_synthetic_control,
)
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.records import (
    Direction,
    Estimate,
    GramTotals,
    MetricDefinition,
    MetricTotals,
    MetricType,
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
from exp_platform.stats.moments import merge_totals
from exp_platform.stats.msprt import estimate_msprt
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.quantile import estimate_quantile, summarise_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.regression import (
    estimate_adjusted,
    estimate_lin,
    summarise_adjustment,
)
from exp_platform.stats.repeated import widen_interval
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.stratification import estimate_post_stratified
from exp_platform.stats.tail import (
    estimate_capped,
    find_threshold,
    summarise_tail,
)
from exp_platform.stats.welch import estimate_welch

DAYS = tuple(range(-4, 4))
SEEDS = (1, 2, 3)
EXACT = 1e-9
"""The same sums in another order."""


def settings_of(kind: MetricType = MetricType.MEAN) -> EstimateSettings:
    definition = MetricDefinition("spend", 1, kind, Direction.INCREASE, "spend")
    return EstimateSettings(definition, min_units_per_arm=2)


MEAN, RATIO = settings_of(), settings_of(MetricType.RATIO)
SHARE = settings_of(MetricType.PROPORTION)


@dataclass(frozen=True)
class Arm:
    """Everything that is known of an arm's units; first axis: units.

    Attributes:
        y, x, z, d: value, two covariates, denominator. uptake: 0 or 1. days: values on
            the days of DAYS.
    """

    name: str
    y: Any
    x: Any
    z: Any
    d: Any
    uptake: Any
    days: Any

    def change(self, scale: float = 1.0, shift: float = 0.0) -> "Arm":
        """The same outcomes in another unit, or from another origin."""
        return replace(self, y=scale * self.y + shift, days=scale * self.days + shift)


def draw(seed: int) -> tuple[Arm, Arm]:
    """Two arms of unequal size; the treatment adds something."""
    random = np.random.default_rng(seed)
    arms = []
    for name, n, effect in (("control", 240, 0.0), ("treatment", 216, 0.6)):
        x, z = random.normal(5, 1, n), random.normal(0, 2, n)
        level = 10 + x + random.normal(0, 1, n)
        late = np.array(DAYS) >= 0
        arms.append(
            Arm(
                name,
                y=level + effect,
                x=x,
                z=z,
                d=1.0 + random.poisson(3, n),
                uptake=(random.random(n) < 0.8 * bool(effect) + 0.05) * 1.0,
                days=level[:, None]
                + random.normal(0, 1, (n, len(DAYS)))
                + effect * late,
            )
        )
    return arms[0], arms[1]


Totals = Callable[..., MetricTotals]


def covariance(one: Any, other: Any) -> float | None:
    """Divisor n - 1; a single unit has none."""
    return float(np.cov(one, other)[0, 1]) if len(one) > 1 else None


def total(arm: Arm, *, ratio: bool = False, covariate: bool = False) -> MetricTotals:
    """Moments of one arm."""
    y, moments = arm.y, {}
    if ratio:
        moments |= {
            "denominator_mean": float(arm.d.mean()),
            "denominator_variance": covariance(arm.d, arm.d),
            "denominator_covariance": covariance(y, arm.d),
        }
    if covariate:
        moments |= {
            "covariate_mean": float(arm.x.mean()),
            "covariate_variance": covariance(arm.x, arm.x),
            "covariate_covariance": covariance(y, arm.x),
            "covariate_denominator_covariance": covariance(arm.d, arm.x),
        }
    return MetricTotals(
        *("exp_1", "spend", arm.name),
        n=len(y),
        mean=float(y.mean()),
        variance=covariance(y, y),
        third_moment=float(((y - y.mean()) ** 3).mean()),
        min_value=float(y.min()),
        max_value=float(y.max()),
        **moments,
    )


def take(arm: Arm, rows: Any) -> Arm:
    """Some of the units."""
    parts = {f: getattr(arm, f)[rows] for f in ("y", "x", "z", "d", "uptake", "days")}
    return replace(arm, **parts)


def total_in_parts(arm: Arm, **kinds: bool) -> MetricTotals:
    """The same moments, merged from parts of unequal size in no particular order."""
    random = np.random.default_rng(len(arm.y))
    pieces = np.array_split(random.permutation(len(arm.y)), (7, 50, 51))
    return merge_totals(total(take(arm, p), **kinds) for p in pieces if len(p))


def gram(arm: Arm) -> GramTotals:
    centred = arm.days - arm.days.mean(axis=0)
    n = len(arm.days)
    return GramTotals(
        *("exp_1", "spend", arm.name, n, n, DAYS),
        tuple(arm.days.mean(axis=0).tolist()),
        tuple(map(tuple, (centred.T @ centred).tolist())),
    )


def periods(arm: Arm) -> tuple[Any, Any]:
    late = np.array(DAYS) >= 0
    return arm.days[:, ~late].mean(axis=1), arm.days[:, late].mean(axis=1)


def sums(arm: Arm):
    cluster = np.arange(len(arm.y)) * 12 // 456
    return sum_clusters(
        ("exp_1", "spend", arm.name), periods(arm), cluster, days=(4, 4)
    )


def both(control: Arm, treatment: Arm, name: str) -> Any:
    return np.concatenate([getattr(control, name), getattr(treatment, name)])


def is_treated(control: Arm, treatment: Arm) -> Any:
    return np.repeat([False, True], [len(control.y), len(treatment.y)])


def changes(control: Arm, treatment: Arm) -> UnitChanges:
    pre, post = np.hstack([periods(control), periods(treatment)])
    flags = is_treated(control, treatment)
    x = both(control, treatment, "x")[:, None]
    return UnitChanges("exp_1", "spend", "control", "treatment", flags, pre, post, x)


def observed(control: Arm, treatment: Arm) -> ObservedUnits:
    return ObservedUnits(
        *("exp_1", "spend", control.name, treatment.name),
        both(control, treatment, "y"),
        is_treated(control, treatment),
        np.column_stack([both(control, treatment, name) for name in ("x", "z")]),
        ("x", "z"),
    )


def panel(control: Arm, treatment: Arm) -> PanelData:
    days = both(control, treatment, "days")
    cohort = np.where(is_treated(control, treatment), 0.0, NEVER)
    unit, period = np.indices(days.shape)
    return PanelData(
        *("exp_1", "spend", unit.ravel(), np.array(DAYS, dtype=float)[period].ravel()),
        days.ravel(),
        np.repeat(cohort, days.shape[1]),
    )


def looks(arm: Arm, totals: Totals) -> list[MetricTotals]:
    """Cumulative totals at three looks."""
    n = len(arm.y)
    return [totals(take(arm, slice(0, end))) for end in (n // 2, 3 * n // 4, n)]


def strata(arm: Arm, totals: Totals) -> list[MetricTotals]:
    level = (arm.z > 0).astype(int)
    return [
        replace(totals(take(arm, level == s)), segment=f"z={s}")
        for s in np.unique(level)
    ]


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


def _clusters(arm: Arm, size: int = 4):
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
        lambda c, t, _: estimate_cluster_means(_clusters(c), _clusters(t), MEAN),
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


def functions_of(package: Any) -> dict[str, Any]:
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and name.startswith("estimate_")
    }


ELSEWHERE = {
    "estimate_spread",  # of several rows: tests/stats/test_spread.py
    "estimate_stopped",  # of a boundary: tests/stats/test_stagewise.py
    "estimate_deltas",  # no Estimate: tests/causal/test_event_study.py
    # one estimator bootstrapped: tests/stats/test_cluster.py and causal's
    "estimate_few_cluster_means",
    "estimate_means_by_cluster",
}


def test_every_estimator_is_registered():
    known = {case.makes.__name__ for case in ESTIMATORS.values()}
    there = {
        **functions_of(exp_platform.stats),
        **functions_of(exp_platform.causal),
    }
    assert set(there) - ELSEWHERE <= known


@pytest.mark.parametrize("name", which(swaps="flip"))
@pytest.mark.parametrize("seed", SEEDS)
def test_swapped_arms_flip_the_sign_and_keep_p(name, seed):
    control, treatment = draw(seed)
    there, back = run(name, control, treatment), run(name, treatment, control)
    assert_same(back.difference, -there.difference)
    assert_same(back.standard_error, there.standard_error)
    # an interval by inversion is searched for, not solved
    rel = 1e-5 if name == "did_randomisation" else 1e-7
    assert_same(back.p_value, there.p_value, rel)
    assert_same(back.ci_lower, None if there.ci_upper is None else -there.ci_upper, rel)


@pytest.mark.parametrize("name", which(swaps="refuse"))
def test_swapped_arms_have_no_effect_per_uptake(name):
    control, treatment = draw(1)
    assert run(name, control, treatment).is_ok
    back = ESTIMATORS[name].run(treatment, control, total)
    assert (back.reason, back.difference) == ("REVERSED_FIRST_STAGE", None)


@pytest.mark.parametrize("name", which(scales=True))
@pytest.mark.parametrize("scale", [1e-6, 2.5, 1e6])
def test_unit_of_the_values_changes_only_the_unit(name, scale):
    control, treatment = draw(1)
    plain = run(name, control, treatment)
    scaled = run(name, control.change(scale), treatment.change(scale))
    # weights of a synthetic control are found by iteration
    rel = 1e-5 if name == "synthetic_control" else 1e-7
    for field in ("difference", "standard_error", "ci_lower", "ci_upper"):
        value = getattr(plain, field)
        moved = getattr(scaled, field)
        assert (value is None) == (moved is None)
        if value is not None:
            assert moved / scale == pytest.approx(value, rel=rel, abs=1e-9)
    for field in ("p_value", "relative_lift", "relative_ci_lower", "relative_p_value"):
        assert_same(getattr(scaled, field), getattr(plain, field), rel)


@pytest.mark.parametrize("name", which(shifts=True))
@pytest.mark.parametrize("shift", [-50.0, 1000.0])
def test_origin_of_the_values_does_not_matter(name, shift):
    control, treatment = draw(2)
    plain = run(name, control, treatment)
    shifted = run(name, control.change(shift=shift), treatment.change(shift=shift))
    # 1000 takes three digits of a value of 10
    rel = 1e-5 if name == "synthetic_control" else 1e-7
    for field in ("difference", "standard_error", "ci_lower", "p_value"):
        assert_same(getattr(shifted, field), getattr(plain, field), rel)


@pytest.mark.parametrize("name", which(merges=True))
def test_parts_merged_in_any_order_give_the_same_row(name):
    control, treatment = draw(3)
    whole = run(name, control, treatment)
    parts = run(name, control, treatment, total_in_parts)
    for field in ("difference", "standard_error", "p_value", "ci_lower", "n_control"):
        assert_same(getattr(parts, field), getattr(whole, field), 1e-7)


def _flat(arm: Arm) -> Arm:
    return replace(arm, x=np.full_like(arm.x, 3.0), z=np.zeros_like(arm.z))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("cuped", "welch"),
        ("cuped_total", "welch"),
        ("adjusted", "welch"),
        ("lin", "welch"),
        ("cuped_ratio", "ratio"),
        ("post_stratified", "welch"),
    ],
)
def test_constant_covariate_is_no_covariate(name, plain):
    control, treatment = (_flat(arm) for arm in draw(1))
    here, there = run(name, control, treatment), run(plain, control, treatment)
    for field in ("difference", "standard_error", "df", "p_value", "ci_lower"):
        assert_same(getattr(here, field), getattr(there, field), 1e-8)


def test_constant_covariate_leaves_did_alone_and_explains_no_choice():
    control, treatment = (_flat(arm) for arm in draw(1))
    did, adjusted = (run(n, control, treatment) for n in ("did", "did_adjusted"))
    assert_same(adjusted.difference, did.difference)
    for name in ("regression_adjustment", "aipw"):
        row = ESTIMATORS[name].run(control, treatment, total)
        # What people chose by is not known: no number is better than a plain one.
        assert (row.reason, row.difference) == ("COLLINEAR_COVARIATES", None)


@pytest.mark.parametrize(
    ("name", "plain"), [("ratio", "welch"), ("cuped_ratio", "cuped")]
)
def test_denominator_one_is_the_mean(name, plain):
    control, treatment = (replace(a, d=np.ones_like(a.d)) for a in draw(1))
    here, there = run(name, control, treatment), run(plain, control, treatment)
    for field in ("difference", "standard_error", "relative_lift"):
        assert_same(getattr(here, field), getattr(there, field), 1e-8)
    # The test of a ratio is normal, that of a mean is not.
    ends = widen_interval(replace(there, df=None), float(ndtri(0.975)))
    for field in ("ci_lower", "relative_ci_lower", "relative_ci_upper"):
        assert_same(getattr(here, field), getattr(ends, field), 1e-8)


def test_uptake_by_everybody_and_clusters_of_one_are_the_mean():
    control, treatment = draw(1)
    control = replace(control, uptake=np.zeros_like(control.y))
    treatment = replace(treatment, uptake=np.ones_like(treatment.y))
    welch = run("welch", control, treatment)
    assert_same(run("cace", control, treatment).difference, welch.difference)
    single = estimate_cluster_means(
        _clusters(control, 1), _clusters(treatment, 1), MEAN
    )
    for field in ("difference", "standard_error", "df", "p_value"):
        assert_same(getattr(single, field), getattr(welch, field))


def _many(totals: Any, n: int, **more: Any) -> Any:
    return replace(totals, n=n, **more)


@pytest.mark.parametrize("name", ["welch", "cuped", "cuped_total", "ratio", "clusters"])
def test_with_many_units_t_is_z(name):
    """The t of a billion units is normal to nine digits."""
    n = 10**9
    control, treatment = draw(1)
    kinds = {
        "cuped": {"covariate": True},
        "cuped_total": {"covariate": True},
        "ratio": {"ratio": True},
    }.get(name, {})
    case_ = ESTIMATORS[name]
    if name == "clusters":
        arms = [_clusters(a) for a in (control, treatment)]
        arms = [_many(a, n, n_clusters=n // 4) for a in arms]
        gap = (arms[1].sum_mean - arms[0].sum_mean) / 4
        row = estimate_cluster_means(arms[0], arms[1], MEAN)
        assert row.difference == pytest.approx(gap)
    else:
        arms = [_many(total(a, **kinds), n) for a in (control, treatment)]
        near = replace(arms[1], mean=arms[0].mean + 4e-5)
        settings = RATIO if name == "ratio" else MEAN
        options = {"theta": "total"} if name == "cuped_total" else {}
        row = case_.makes(arms[0], near, settings, **options)
    assert row.is_ok
    z = row.difference / row.standard_error
    assert row.p_value == pytest.approx(2 * ndtr(-abs(z)), rel=1e-5, abs=1e-300)


def test_did_with_many_units_is_normal():
    grams = [gram(arm) for arm in draw(1)]
    panels = [_many(panel_of(g), 10**9, n_clusters=10**9) for g in grams]
    row = estimate_did(panels[0], panels[1], MEAN)
    z = row.difference / row.standard_error
    assert row.p_value == pytest.approx(2 * ndtr(-abs(z)), rel=1e-5, abs=1e-300)
