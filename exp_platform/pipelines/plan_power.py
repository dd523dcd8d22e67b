"""`exp power`: sample size, smallest effect and run time, from numbers or past data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from exp_platform.config import Settings
from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.metrics.totals import Key, read_quantiles, read_totals
from exp_platform.pipelines.run import nothing_stored, open_reader
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    Direction,
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
    PowerTest,
    Target,
    noise_of_quantile,
    noise_of_rate,
    noise_of_totals,
)
from exp_platform.stats.power import (
    MetricDesign,
    SampleSize,
    find_days,
    find_margin,
    find_mde,
    find_power,
    find_units,
    size_experiment,
)
from exp_platform.stats.settings import EstimateSettings

KINDS = ("mean", "count", "proportion", "ratio", "retention", "funnel")
_OVERALL = "metric_aggregates_overall"
_QUANTILES = "metric_quantiles"


@dataclass(frozen=True, slots=True)
class PowerRequest:
    """What the flags of `exp power` say.

    Attributes:
        baseline: control mean, rate or ratio. sd: of one unit's value.
        mde: wanted effect relative to the baseline; difference: the same, absolute.
        margin: relative non-inferiority margin; makes it a guardrail.
        units: units of all arms, to ask what they can find.
        experiment_id, metric: take the noise from past data instead.
        design: arms and error rates; from past data only power, inflation and
            guardrails are read.
    """

    design: Design
    kind: str = "mean"
    baseline: float | None = None
    sd: float | None = None
    variance_ratio: float = 1.0
    mde: float | None = None
    difference: float | None = None
    margin: float | None = None
    is_decrease: bool = False
    units: int | None = None
    experiment_id: str | None = None
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class PowerAnswer:
    """The table, and the same as JSON values.

    Attributes:
        rows: one per metric, and one of the whole experiment where there are several.
        notes: sentences for people.
    """

    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """Rows and notes under their names."""
        return {"sizes": [dict(row) for row in self.rows], "notes": list(self.notes)}


def plan_power(settings: Settings | None, request: PowerRequest) -> PowerAnswer:
    """How many units does it take, or what do so many units find?

    Args:
        settings: configuration; only read for past data.
        request: numbers, or an experiment.

    Raises:
        UsageError: numbers are missing or contradict each other.
        ContractError: the experiment has no stored totals.
    """
    if request.experiment_id is None:
        metric = MetricDesign(
            request.metric or "metric", _noise_of(request), _target_of(request)
        )
        return _answer_one(metric, request, request.design)
    if settings is None:
        raise UsageError("past data need a configuration", next_step="--config FILE")
    return _answer_from_experiment(settings, request)


def _noise_of(request: PowerRequest) -> Noise:
    if request.kind not in KINDS:
        raise UsageError(
            f"no metric type {request.kind!r}",
            where="--type",
            allowed=did_you_mean(request.kind, KINDS),
        )
    if request.baseline is None:
        raise UsageError(
            "there is nothing to size for",
            allowed="--baseline NUMBER, or --from-experiment ID",
        )
    if MetricType(request.kind).is_share:
        return noise_of_rate(request.baseline, variance_ratio=request.variance_ratio)
    if request.sd is None:
        raise UsageError(
            f"a {request.kind} needs the standard deviation of a unit's value",
            where="--sd",
            next_step="take it from past data with --from-experiment ID --metric NAME",
        )
    test: PowerTest = "normal" if request.kind == "ratio" else "t"
    return Noise(request.baseline, request.sd**2, test, request.variance_ratio)


def _target_of(request: PowerRequest) -> Target:
    direction = Direction.DECREASE if request.is_decrease else Direction.INCREASE
    given = [request.mde, request.difference, request.margin]
    asked = sum(value is not None for value in given)
    if asked > 1 or (asked == 0 and request.units is None):
        raise UsageError(
            "one target is needed",
            found=f"{asked} of --mde, --difference, --margin",
            allowed="exactly one; or none with --units, to find the smallest effect",
        )
    if request.margin is not None:
        return Target(margin=request.margin, direction=direction)
    effect = request.difference
    if effect is None:
        effect = (request.mde or 0.0) * abs(request.baseline or 0.0)
    return Target(-abs(effect) if request.is_decrease else effect, direction=direction)


def _answer_one(
    metric: MetricDesign, request: PowerRequest, design: Design
) -> PowerAnswer:
    """One metric: its size, and what the given units find."""
    has_target = metric.is_guardrail or metric.target.difference != 0
    rows = [_row(metric, find_units(metric, design), "size")] if has_target else []
    if request.units is not None:
        if has_target:
            rows.append(_row_power(metric, design, request.units))
        rows.append(_row_smallest(metric, design, request.units))
    return PowerAnswer(tuple(rows), _note_guardrails(metric, design))


def _note_guardrails(metric: MetricDesign, design: Design) -> tuple[str, ...]:
    if design.n_guardrails == 0 or metric.is_guardrail:
        return ()
    note = (
        f"size each of the {design.n_guardrails} guardrails with --margin (power "
        f"{design.guardrail_power:.3g} each); the experiment needs the largest size"
    )
    return (note,)


def _row(metric: MetricDesign, size: SampleSize, question: str) -> dict[str, Any]:
    noise, target = metric.noise, metric.target
    return {
        "metric": metric.metric_name,
        "role": "guardrail" if metric.is_guardrail else "goal",
        "question": question,
        "baseline": noise.mean,
        "target": _target_text(metric),
        "difference": target.difference,
        "margin": target.margin,
        "variance_ratio": noise.variance_ratio,
        "alpha": size.alpha,
        "power": size.power,
        "n_control": size.n_control,
        "n_treatment": size.n_treatment,
        "n_total": size.n_total,
        "days": size.days,
        "reason": size.reason,
    }


def _row_power(metric: MetricDesign, design: Design, units: int) -> dict[str, Any]:
    """How likely do so many units find the target?"""
    power = find_power(metric.noise, metric.target, design, units)
    return _row(metric, _given(metric, design, units, power=power), "power")


def _row_smallest(metric: MetricDesign, design: Design, units: int) -> dict[str, Any]:
    """What is the smallest target that so many units find with the wanted power?"""
    noise, target = metric.noise, metric.target
    if metric.is_guardrail:
        found = find_margin(noise, target, design, units)
        smallest = replace(target, margin=found) if found else target
        wanted = design.guardrail_power
    else:
        found = find_mde(noise, design, units, direction=target.direction)
        smallest = replace(target, difference=found) if found else target
        wanted = design.power
    size = _given(metric, design, units, power=wanted if found else None)
    row = _row(replace(metric, target=smallest), size, "smallest")
    if found:
        return row
    return {**row, "target": "", "difference": None, "margin": None}


def _given(
    metric: MetricDesign, design: Design, units: int, *, power: float | None
) -> SampleSize:
    """Units as asked, divided among the arms."""
    control, treatment = (round(share * units) for share in design.shares)
    return SampleSize(
        metric_name=metric.metric_name,
        alpha=design.guardrail_alpha if metric.is_guardrail else design.goal_alpha,
        power=power,
        n_exact=units,
        n_control=control,
        n_treatment=treatment,
        n_total=units,
        days=find_days(design, units),
        reason="" if power is not None else "OUT_OF_REACH",
    )


def _target_text(metric: MetricDesign) -> str:
    noise, target = metric.noise, metric.target
    if target.margin is not None:
        is_relative = target.margin_scale is MarginScale.RELATIVE
        size = f"{target.margin:.3g}"
        return f"margin {target.margin:.2%}" if is_relative else f"margin {size}"
    share = f" ({target.difference / noise.mean:+.2%})" if noise.mean else ""
    return f"{target.difference:+.4g}{share}"


def _answer_from_experiment(settings: Settings, request: PowerRequest) -> PowerAnswer:
    experiment_id = request.experiment_id or ""
    with open_reader(settings, experiment_id) as run:
        ingested = load_ingested(run)
        rows = run.lake.read(_OVERALL, experiment_id=experiment_id).to_pylist()
        ranks = run.lake.read(_QUANTILES, experiment_id=experiment_id).to_pylist()
    if not rows:
        raise nothing_stored(experiment_id, _OVERALL)
    past = _Past(read_totals(rows), read_quantiles(ranks))
    design = _design_of(ingested.spec, past.totals, request)
    if request.metric is None:
        return _answer_all(ingested, past, request, design)
    if request.metric not in ingested.definitions:
        raise UsageError(
            f"metric {request.metric!r} is not in the plan of {experiment_id}",
            allowed=did_you_mean(request.metric, ingested.definitions),
        )
    plan = ingested.spec.plan.of(request.metric)
    metric = _metric_of(ingested, past, plan, request)
    return _answer_one(metric, request, design)


@dataclass(frozen=True, slots=True)
class _Past:
    """Totals of a past experiment by (metric, segment, variant)."""

    totals: Mapping[Key, MetricTotals]
    quantiles: Mapping[Key, QuantileTotals]

    def noise_of(self, key: Key, settings: EstimateSettings) -> Noise | None:
        """How a metric's values vary in one arm; None = the data do not show it."""
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
    found = size_experiment(metrics, design)
    if found is None:
        raise UsageError("the plan has no goal to size for", next_step="--metric NAME")
    pairs = zip(metrics, found.metrics, strict=True)
    rows = [_row(metric, size, "size") for metric, size in pairs]
    total = found.total
    rows.append(
        {
            **dict.fromkeys(rows[0]),
            "metric": "experiment",
            "role": "all",
            "question": "P(SHIP)",
            "target": "a goal found, every guardrail held",
            "alpha": total.alpha,
            "power": total.power,
            "n_control": total.n_control,
            "n_treatment": total.n_treatment,
            "n_total": total.n_total,
            "days": total.days,
            "reason": total.reason,
        }
    )
    note = "P(SHIP) holds for any dependence between the metrics, per treatment arm"
    return PowerAnswer(tuple(rows), (note,))


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
    margin = request.margin or plan.margin
    if plan.role is MetricRole.GUARDRAIL and margin is not None:
        scale = MarginScale.RELATIVE if request.margin else plan.margin_scale
        return MetricDesign(
            name, noise, Target(0.0, margin, scale, definition.direction)
        )
    mde = request.mde or plan.mde
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


def as_table(answer: PowerAnswer) -> list[dict[str, str]]:
    """The columns people read, as text."""
    return [
        {
            "metric": row["metric"],
            "role": row["role"],
            "question": row["question"],
            "baseline": _number(row["baseline"]),
            "target": row["target"],
            "alpha": _number(row["alpha"]),
            "power": _number(row["power"]),
            "control": _count(row["n_control"]),
            "per treatment": _count(row["n_treatment"]),
            "units": _count(row["n_total"]),
            "days": _count(row["days"]),
            "why not": row["reason"],
        }
        for row in answer.rows
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
