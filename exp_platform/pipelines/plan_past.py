"""`exp power --from-experiment`: noise, arms and looks of a past experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from exp_platform.config import Settings
from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.metrics.totals import Key, read_quantiles, read_totals
from exp_platform.pipelines.estimates import load_estimates
from exp_platform.pipelines.plan_clusters import (
    Clusters,
    find_cluster_row,
    noise_of_clusters,
    size_of_clusters,
)
from exp_platform.pipelines.plan_looks import merge_registered, settle_looks
from exp_platform.pipelines.plan_request import PowerAnswer, PowerRequest
from exp_platform.pipelines.plan_rows import (
    answer_metric,
    answer_one,
    answer_whole,
    has_target,
)
from exp_platform.pipelines.published_definitions import require_same_meaning
from exp_platform.pipelines.registry import require_totals
from exp_platform.pipelines.run import nothing_stored, open_reader
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    Direction,
    Estimate,
    ExperimentSpec,
    MarginScale,
    MetricPlan,
    MetricRole,
    MetricTotals,
    MetricType,
    QuantileTotals,
)
from exp_platform.stats.design import (
    Design,
    Noise,
    Target,
    noise_of_quantile,
    noise_of_totals,
)
from exp_platform.stats.power import MetricDesign, find_days, size_experiment
from exp_platform.stats.settings import EstimateSettings

_OVERALL = "metric_aggregates_overall"
_QUANTILES = "metric_quantiles"


def answer_from_experiment(settings: Settings, request: PowerRequest) -> PowerAnswer:
    """What does it take, when values vary as they did there?

    Args:
        settings: of the lake that holds the experiment.
        request: names it, and says what is wanted.

    Raises:
        UsageError: no target, a metric that is not in its plan, or a panel.
        ContractError: it has no stored totals, or only of a metric before an edit.
    """
    experiment_id = request.experiment_id or ""
    with open_reader(settings, experiment_id) as run:
        ingested = load_ingested(run)
        require_totals(ingested.spec)
        rows = run.lake.read(_OVERALL, experiment_id=experiment_id).to_pylist()
        ranks = run.lake.read(_QUANTILES, experiment_id=experiment_id).to_pylist()
        estimates = load_estimates(run) if ingested.spec.cluster else ()
        if not rows:
            raise nothing_stored(experiment_id, _OVERALL)
        named = {request.metric} if request.metric else {*ingested.definitions}
        own = {n: d for n, d in ingested.definitions.items() if n in named}
        require_same_meaning(run, own)
    past = _Past(read_totals(rows), read_quantiles(ranks), estimates)
    spec = ingested.spec
    design = _design_of(spec, past.totals, request)
    looks = merge_registered(
        request.looks, spec.plan.sequential, is_dated=spec.is_dated
    )
    request = replace(request, looks=looks)
    if request.metric is None:
        return _answer_all(ingested, past, request, design)
    if request.metric not in ingested.definitions:
        raise UsageError(
            f"metric {request.metric!r} is not in the plan of {experiment_id}",
            allowed=did_you_mean(request.metric, ingested.definitions),
        )
    plan = ingested.spec.plan.of(request.metric)
    metric = _metric_of(ingested, past, plan, request)
    return answer_one(metric, request, design, clusters=past.clusters)


@dataclass(frozen=True, slots=True)
class _Past:
    """Totals of a past experiment by (metric, segment, variant).

    Attributes:
        estimates: where clusters were assigned, else empty.
    """

    totals: Mapping[Key, MetricTotals]
    quantiles: Mapping[Key, QuantileTotals]
    estimates: Sequence[Estimate] = ()

    @property
    def clusters(self) -> Clusters:
        """Units of a cluster, 1 where units were assigned."""
        names = dict.fromkeys(one.metric_name for one in self.estimates)
        return size_of_clusters([find_cluster_row(self.estimates, n) for n in names])

    def noise_of(self, key: Key, settings: EstimateSettings) -> Noise | None:
        """How a metric's values vary in one arm; None = the data do not show it."""
        if self.estimates:
            row = find_cluster_row(self.estimates, key[0])
            return None if row is None else noise_of_clusters(row)
        if settings.definition.type is MetricType.QUANTILE:
            ranks = self.quantiles.get(key)
            return None if ranks is None else noise_of_quantile(ranks)
        moments = self.totals.get(key)
        return None if moments is None else noise_of_totals(moments, settings)


def _answer_all(
    ingested: Ingested,
    past: _Past,
    request: PowerRequest,
    design: Design,
) -> PowerAnswer:
    """Every goal and guardrail of the plan, and the experiment as a whole."""
    plans = [p for p in ingested.spec.plan.metrics if p.role is not MetricRole.MONITOR]
    metrics = [_metric_of(ingested, past, plan, request) for plan in plans]
    if all(metric.is_guardrail for metric in metrics):
        raise UsageError("the plan has no goal to size for", next_step="--metric NAME")
    clusters = past.clusters
    units = clusters.units_of(request.units)
    design, notes = _settle(metrics, request, clusters.design_of(design), units)
    rows = [
        row
        for metric in metrics
        for row in answer_metric(metric, request, design, units)
    ]
    if all(map(has_target, metrics)) or units is None:
        rows += answer_whole(metrics, design, units)
        note = "P(SHIP) holds for any dependence between the metrics, per treatment arm"
        notes = (note, *notes)
    rows = [clusters.count(row) for row in rows]
    return PowerAnswer(tuple(rows), (*notes, *clusters.describe(rows)))


def _settle(
    metrics: Sequence[MetricDesign],
    request: PowerRequest,
    design: Design,
    units: int | None,
) -> tuple[Design, tuple[str, ...]]:
    """The design with the cost of looks over the days of the whole experiment.

    These are the days it takes, or those of the given units where a metric has no
    target. Without either nothing is sized and no look is counted.
    """
    is_sized = all(map(has_target, metrics))
    if not is_sized and units is None:
        return design, ()

    def days_of(plan: Design) -> int | None:
        """Days that the whole experiment runs under a design."""
        if not is_sized and units is not None:
            return find_days(plan, units)
        sized = size_experiment(metrics, plan)
        return None if sized is None else sized.total.days

    return settle_looks(design, request.looks, days_of)


def _metric_of(
    ingested: Ingested,
    past: _Past,
    plan: MetricPlan,
    request: PowerRequest,
) -> MetricDesign:
    """A metric with the noise of its control arm and the target of plan or flags."""
    name, spec = plan.metric_name, ingested.spec
    definition = ingested.definitions[name]
    if not plan.covariate:
        definition = replace(definition, covariate=None, more_covariates=())
    key = (name, "all", spec.control)
    settings = EstimateSettings(
        definition, min_units_per_arm=spec.plan.min_units_per_arm
    )
    noise = past.noise_of(key, settings)
    if noise is None:
        raise ContractError(
            f"the past data of {name} do not vary, or are missing",
            where=f"{spec.experiment_id}, control {spec.control}",
            next_step="give the numbers: --baseline and --sd",
        )
    margin = plan.margin if request.margin is None else request.margin
    if plan.role is MetricRole.GUARDRAIL and margin is not None:
        scale = plan.margin_scale
        if request.margin is not None:
            scale = MarginScale.RELATIVE
        return MetricDesign(
            name, noise, Target(0.0, margin, scale, definition.direction)
        )
    mde = plan.mde if request.mde is None else request.mde
    if mde is None and request.difference is None and request.units is None:
        raise UsageError(
            f"the plan of {spec.experiment_id} says no target for {name}",
            next_step="--mde SHARE, --difference NUMBER, or --units N",
        )
    sign = 1 if definition.direction is Direction.INCREASE else -1
    size = request.difference
    size = abs(size) if size is not None else (mde or 0.0) * abs(noise.mean)
    return MetricDesign(
        name, noise, Target(sign * size, direction=definition.direction)
    )


def _design_of(
    spec: ExperimentSpec,
    totals: Mapping[tuple[str, str, str], MetricTotals],
    request: PowerRequest,
) -> Design:
    """Arms, weights and error rates of the plan; traffic as it was."""
    weights = {variant.name: variant.weight for variant in spec.variants}
    arms: dict[str, int] = {}
    for (_, segment, variant), one in totals.items():
        if segment == "all":
            arms[variant] = max(arms.get(variant, 0), one.n + one.n_immature)
    last = min(spec.end_ts, spec.watermark_ts)
    days = (last - spec.start_ts).total_seconds() / 86400
    traffic = request.design.units_per_day
    if traffic is None and spec.is_dated and days > 0:
        traffic = sum(arms.values()) / days
    return replace(
        request.design,
        alpha=spec.plan.alpha,
        n_goals=max(len(spec.plan.names(MetricRole.GOAL)), 1),
        n_guardrails=len(spec.plan.names(MetricRole.GUARDRAIL)),
        n_treatments=len(spec.treatments),
        control_share=weights[spec.control] / sum(weights.values()),
        units_per_day=traffic,
    )
