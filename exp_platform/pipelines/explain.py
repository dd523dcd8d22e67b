"""The SQL behind a number: the metric's own SELECT, or every step from the rows on."""

from collections.abc import Mapping
from dataclasses import dataclass

from exp_platform.config import Settings
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.metrics.caps import require_caps
from exp_platform.metrics.generated import EMPTY
from exp_platform.metrics.measures import has_several_covariates
from exp_platform.metrics.models import (
    GENERATED,
    find_needed,
    model_order,
    model_sql,
)
from exp_platform.metrics.observations import segment_sql, transpile
from exp_platform.metrics.one_statement import totals_statement, why_not_one_statement
from exp_platform.pipelines.compute_metric_aggregates import fixed_point
from exp_platform.pipelines.metric_files import DIALECTS, metric_selects
from exp_platform.pipelines.panel_runs import find_layout
from exp_platform.pipelines.published_definitions import read_published
from exp_platform.pipelines.run import open_reader
from exp_platform.pipelines.run_ingest import load_ingested
from exp_platform.pipelines.shown import check_format
from exp_platform.records import ExperimentSpec, MetricDefinition


def explain_sql(
    settings: Settings,
    experiment_id: str,
    metric: str,
    *,
    dialect: str = "duckdb",
    is_full: bool = False,
) -> str:
    """The SQL of one metric of one experiment.

    Args:
        settings: a loaded configuration.
        experiment_id: was ingested before.
        metric: in the experiment's plan.
        dialect: duckdb, spark or trino.
        is_full: every step up to the totals per arm, as a script.

    Raises:
        UsageError: no such metric in the experiment's plan, no such dialect, its
            percentile cap was not frozen yet, or the experiment is a panel.
        ContractError: the experiment was never ingested.
    """
    check_format(dialect, DIALECTS, what="dialect")
    shown = _load(settings, experiment_id)
    if metric not in shown.definitions:
        raise UsageError(
            f"metric {metric!r} is not in the plan of {experiment_id}",
            allowed=did_you_mean(metric, shown.definitions),
            next_step="name it in the plan's metrics and run again, or choose one of these",
        )
    definition = shown.definitions[metric]
    require_caps(definition)
    selects = metric_selects(definition, dialect=dialect, fixed_point=shown.fixed_point)
    if is_full:
        return _script(shown, definition, selects, dialect)
    blocks = "\n\n".join(
        f"-- {name}: {_GRAINS[name]}\n{selects[name]}"
        for name in _GRAINS
        if name in selects
    )
    return (
        f"{_title(definition, shown)}\n"
        "-- from: int_unit_outcomes and int_unit_events, rows of units in the analysis\n"
        "-- next: metric_calculations adds the units without a row as 0 and leaves out\n"
        f"-- those with a missing value; {_last(definition)} takes what the\n"
        "-- estimate needs per arm. Every step: --full\n"
        f"{blocks}"
    )


def explain_totals(settings: Settings, experiment_id: str) -> str:
    """One SELECT with the totals of all metrics that fit it, in DuckDB's dialect.

    Args:
        settings: a loaded configuration.
        experiment_id: was ingested before.

    Raises:
        UsageError: no metric fits, the plan leaves bots out, a percentile cap was not
            frozen yet, or the experiment is a panel.
        ContractError: the experiment was never ingested.
    """
    shown = _load(settings, experiment_id)
    reasons = {n: _why_alone(d) for n, d in shown.definitions.items()}
    own = {n: shown.definitions[n] for n, why in reasons.items() if not why}
    for definition in own.values():
        require_caps(definition)
    if not own:
        raise UsageError(
            f"no metric of {experiment_id} fits one statement",
            found="; ".join(f"{name}: {why}" for name, why in reasons.items()),
            next_step=f"`exp sql {experiment_id} METRIC` shows one metric",
        )
    head = [
        f"-- totals per arm of {', '.join(' '.join(name.split()) for name in own)}",
        "-- exp.exposures, exp.outcomes, exp.quarantine: the Iceberg tables",
        "-- exp_run.run_experiments: the experiment_id and watermark_us of the run",
    ]
    head += [
        f"-- not here: {' '.join(name.split())}, {why}"
        for name, why in reasons.items()
        if why
    ]
    head += [
        _EDITED.format(" ".join(n.split()), v)
        for n, v in shown.edited.items()
        if n in own
    ]
    statement = totals_statement(shown.spec, own, fixed_point=shown.fixed_point)
    return "\n".join([*head, statement])


@dataclass(frozen=True, slots=True)
class Shown:
    """What the SQL behind an experiment's numbers is made from.

    Attributes:
        definitions: those its results used; before the first run the project's.
        edited: metric -> the version the project has of it now, where it is another.
        fixed_point: outcomes with exact sums.
    """

    spec: ExperimentSpec
    definitions: Mapping[str, MetricDefinition]
    edited: Mapping[str, str]
    fixed_point: frozenset[str]


def _load(settings: Settings, experiment_id: str) -> Shown:
    """The experiment as its results have it; no panel, whose periods count."""
    with open_reader(settings, experiment_id) as run:
        ingested = load_ingested(run)
        if find_layout(run) is not None:
            raise UsageError(
                "a ready-made panel has no totals per unit that a SELECT could add up",
                where=experiment_id,
                next_step=f"`exp results {experiment_id}` has its numbers; the rows by "
                "unit and period are in exp.outcomes",
            )
        published = read_published(run)
        exact = frozenset(fixed_point(run))
    own = {n: published.get(n, d) for n, d in ingested.definitions.items()}
    edited = {
        n: d.metric_version
        for n, d in ingested.definitions.items()
        if d.definition_hash != own[n].definition_hash
    }
    return Shown(ingested.spec, own, edited, exact)


def _why_alone(definition: MetricDefinition) -> str:
    """Why a metric's totals are not in one statement with the others'."""
    if definition.quantile is not None:
        return "a quantile needs the single values"
    if has_several_covariates(definition):
        return "several covariates are several columns"
    return why_not_one_statement(definition)


_GRAINS = {
    "metric_observations": "one row per unit with a row that may count",
    "metric_row_values": "one row per value inside the window",
    "metric_covariates": "one row per unit and covariate",
}


def _last(definition: MetricDefinition) -> str:
    """The model that holds what the estimate is made from."""
    if definition.quantile is not None:
        return "metric_quantiles"
    if has_several_covariates(definition):
        return "metric_adjustments"
    return "metric_aggregates_overall"


def _script(
    shown: Shown,
    definition: MetricDefinition,
    selects: Mapping[str, str],
    dialect: str,
) -> str:
    segments = segment_sql(shown.spec.plan.segments)
    own = {name: _in_dialect(sql, dialect) for name, sql in EMPTY.items()}
    own |= {**selects, "unit_segments": _in_dialect(segments, dialect)}
    last = _last(definition)
    head = (
        f"{_title(definition, shown)}\n"
        f"-- every step from the rows to {last}\n"
        "-- exp.exposures, exp.outcomes, exp.quarantine: the Iceberg tables\n"
        "-- exp_run.run_*: what the run works on"
    )
    models = dict(model_order(dialect))
    texts = {
        name: own[name] if name in GENERATED else model_sql(name, dialect).strip()
        for name in models
    }
    needed = find_needed(last, texts)
    parts = [
        f"create {materialized} exp_run.{name} as\n{texts[name]};"
        for name, materialized in models.items()
        if name in needed
    ]
    return "\n\n".join([head, *parts])


_EDITED = "-- {} is version {} by now, which the next run takes: `exp metrics impact`"


def _title(definition: MetricDefinition, shown: Shown) -> str:
    """One line, whatever the name holds; a second one where the definition was edited."""
    name = " ".join(definition.name.split())
    lines = [f"-- {name} version {definition.metric_version}"]
    if definition.name in shown.edited:
        lines.append(_EDITED.format(name, shown.edited[definition.name]))
    return "\n".join(lines)


def _in_dialect(sql: str, dialect: str) -> str:
    return sql if dialect == "duckdb" else transpile(sql, dialect)
