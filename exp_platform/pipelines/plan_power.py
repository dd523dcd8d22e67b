"""`exp power`: sample size, smallest effect and run time, from numbers or past data."""

import math

from exp_platform.config import Settings
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.plan_clusters import read_clusters
from exp_platform.pipelines.plan_past import answer_from_experiment
from exp_platform.pipelines.plan_request import PowerAnswer, PowerRequest
from exp_platform.pipelines.plan_rows import answer_one
from exp_platform.records import Direction, MetricType
from exp_platform.stats.design import Noise, PowerTest, Target, noise_of_rate
from exp_platform.stats.power import MetricDesign

KINDS = ("mean", "count", "proportion", "ratio", "quantile", "retention", "funnel")


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
        clusters = read_clusters(request.cluster_size, request.cluster_icc)
        noise = clusters.noise_of(_noise_of(request))
        metric = MetricDesign(request.metric or "metric", noise, _target_of(request))
        return answer_one(metric, request, request.design, clusters=clusters)
    if settings is None:
        raise UsageError("past data need a configuration", next_step="--config FILE")
    return answer_from_experiment(settings, request)


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
    if not 0 < request.sd < math.inf:
        raise UsageError(
            "a standard deviation is a positive number",
            where="--sd",
            found=str(request.sd),
            allowed="(0, inf)",
        )
    test: PowerTest = "normal" if request.kind in {"ratio", "quantile"} else "t"
    return Noise(
        request.baseline, request.sd * request.sd, test, request.variance_ratio
    )


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
            "on average": _count(row["n_expected"]),
            "clusters": _count(row["n_clusters"]),
            "days": _count(row["days"]),
            "why not": row["reason"],
        }
        for row in answer.rows
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
