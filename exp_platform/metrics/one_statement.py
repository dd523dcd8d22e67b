"""All totals of an experiment in one SELECT that leaves nothing behind.

What the models do step by step, each step a table to look into, stands here in one
statement: rows are joined and added up as they are read. It is for experiments whose rows
are many; the expressions of a unit's value are the very ones of `metric_observations`.
Units carry a dense number, so that they are grouped by array position and not by text.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from exp_platform.errors import UsageError
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.measures import Chain, columns_of
from exp_platform.metrics.models import model_sql
from exp_platform.metrics.scope import maturity_us, microseconds
from exp_platform.metrics.spans import DAY_US
from exp_platform.metrics.unit_values import Part, may_miss_value, unit_sql
from exp_platform.records import ExperimentSpec, MetricDefinition, SourceKind

_NEVER = 2**63 - 1
_UNITS = """\
first_exposures as (
    select
        user_id,
        arg_min(variant, (exposure_us, variant)) as variant,
        min(exposure_us) as exposure_us,
        {first_seen} as first_seen_us
    from stg_exposures
    where exposure_us >= {start_us} and exposure_us < {end_us}
    group by user_id
),
units as materialized (
    select
        row_number() over () as unit_no,
        {experiment_id} as experiment_id,
        true as is_in_analysis,
        *
    from first_exposures
)"""
_FIRST_SEEN = f"arg_min_null(first_seen_us, (exposure_us, variant, coalesce(first_seen_us, {_NEVER})))"
# most values fit a machine word, and then their sum costs half
_EXACT = (
    "case when max(abs(value)) < 1e20 then cast(\n"
    "        coalesce(sum(case when abs(value) < 1e11 then cast(value as decimal(18, 6)) end), 0)\n"
    "        + coalesce(sum(case when abs(value) >= 1e11 and abs(value) < 1e20"
    " then cast(value as decimal(38, 6)) end), 0)\n    as varchar) end"
)
_CUBE = "(value - centre) * (value - centre) * (value - centre)"
_MOMENTS = {
    "n": "count(value)",
    "mean": "avg(value)",
    "variance": "var_samp(value)",
    "min_value": "min(value)",
    "max_value": "max(value)",
    "exact_sum": _EXACT,
    "denominator_mean": "avg(denominator)",
    "denominator_variance": "var_samp(denominator)",
    "denominator_covariance": "covar_samp(value, denominator)",
    "covariate_mean": "avg(covariate)",
    "covariate_variance": "var_samp(covariate)",
    "covariate_covariance": "covar_samp(value, covariate)",
    "covariate_denominator_covariance": "covar_samp(denominator, covariate)",
    "new_share": "avg(new_flag)",
    "new_covariance": "covar_samp(value, new_flag)",
    "third_moment": f"avg({_CUBE})",
    "n_immature": "count(case when is_immature then 1 end)",
    "n_missing": "count(case when is_lost and not is_immature then 1 end)",
}
_COLUMN = re.compile(
    r"\b(value|denominator|covariate|new_flag|centre|is_immature|is_lost)\b"
)


def why_not_one_statement(definition: MetricDefinition) -> str:
    """Why a metric cannot be in it; empty when it can."""
    for measure in columns_of(definition).values():
        if isinstance(measure, Chain):
            return "a funnel's steps are several passes"
        if measure.rows.kind is SourceKind.EVENT:
            return "it is made of events"
        if may_miss_value(measure):
            return "a row may lack its value"
    return ""


def totals_statement(
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    *,
    fixed_point: Collection[str],
) -> str:
    """The SELECT of all totals, one row per metric and arm, in DuckDB's dialect.

    Args:
        spec: the experiment; nobody is left out of its analysis.
        definitions: its metrics.
        fixed_point: outcome names whose values all have at most six decimals.

    Raises:
        UsageError: a metric is of events or a funnel, or the plan leaves bots out.
    """
    refused = {n: why_not_one_statement(d) for n, d in definitions.items()}
    reasons = [f"{name}: {why}" for name, why in refused.items() if why]
    if reasons or spec.plan.exclude_bots:
        raise UsageError(
            "these totals do not fit one statement",
            found="; ".join(reasons) or "the plan leaves bots out",
            next_step="`exp sql --full` shows every step",
        )
    numbered = [(f"m{i}", d) for i, d in enumerate(definitions.values())]
    steps = [
        f"stg_exposures as (\n{model_sql('stg_exposures')}\n)",
        _units_sql(spec, definitions),
        "experiment_assignments as (select * from units)",
        f"missing_values as (\n{_inline(model_sql('int_missing_values'))}\n)",
        f"unit_rows as (\n{_rows_sql(spec, definitions)}\n)",
        f"numbers as (\n{_numbers_sql(numbered, fixed_point)}\n)",
        f"lost as (\n{_lost_sql(numbered)}\n)",
        f"filled as materialized (\n{_filled_sql(spec, numbered)}\n)",
        f"centres as (\n{_centres_sql(numbered)}\n)",
        f"moments as materialized (\n{_moments_sql(numbered)}\n)",
    ]
    answers = "\nunion all\n".join(_answer_sql(spec, *one) for one in numbered)
    joined = ",\n".join(steps)
    return f"with {joined}\n{answers}\norder by metric_name, variant"


def _inline(text: str) -> str:
    return text.replace("exp_run.experiment_assignments", "experiment_assignments")


def _units_sql(
    spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> str:
    """First exposures, ties by variant; first sight only where a covariate needs it."""
    has_past = any(d.covariate is not None for d in definitions.values())
    return _UNITS.format(
        first_seen=_FIRST_SEEN if has_past else "cast(null as bigint)",
        start_us=microseconds(spec.start_ts),
        end_us=microseconds(spec.end_ts),
        experiment_id=quote(spec.experiment_id),
    )


def _rows_sql(spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]) -> str:
    names = sorted({p.name for d in definitions.values() for p in _parts(d).values()})
    # a name is looked up once per dictionary entry of a file, then compared as a number
    named = f"try_cast(rows.metric_name as enum ({', '.join(map(quote, names))}))"
    return (
        f"select units.unit_no, {named} as metric_name, rows.value,\n"
        "    epoch_us(rows.outcome_ts) as outcome_us,\n"
        "    epoch_us(rows.outcome_ts) - units.exposure_us as offset_us\n"
        "from exp.outcomes as rows\n"
        "inner join units on rows.user_id = units.user_id\n"
        f"where rows.experiment_id = {quote(spec.experiment_id)}\n"
        f"    and {named} is not null\n"
        f"    and epoch_us(rows.outcome_ts) < {microseconds(spec.watermark_ts)}"
        f"{_near_sql(definitions)}"
    )


def _near_sql(definitions: Mapping[str, MetricDefinition]) -> str:
    """Rows outside every window are dropped before they are grouped."""
    spans = [part.span for d in definitions.values() for part in _parts(d).values()]
    # a day-grained window begins up to a day before the exposure's own instant
    starts = [s.lower_us - DAY_US * s.is_day_grained for s in spans]
    ends = [s.upper_us for s in spans if s.upper_us is not None]
    age = "epoch_us(rows.outcome_ts) - units.exposure_us"
    near = f"\n    and {age} >= {min(starts, default=0)}"
    return f"{near}\n    and {age} < {max(ends)}" if len(ends) == len(spans) else near


def _parts(definition: MetricDefinition) -> dict[str, Part]:
    columns = columns_of(definition).items()
    return {name: part for name, part in columns if isinstance(part, Part)}


def _numbers_sql(
    numbered: list[tuple[str, MetricDefinition]], fixed_point: Collection[str]
) -> str:
    columns = ",\n".join(
        f"    {unit_sql(part, fixed_point)} as {prefix}_{name}"
        for prefix, definition in numbered
        for name, part in _parts(definition).items()
    )
    return f"select unit_no,\n{columns}\nfrom unit_rows\ngroup by unit_no"


def _lost_sql(numbered: list[tuple[str, MetricDefinition]]) -> str:
    """Units of which ingest set a value aside, by the column it was for."""
    columns = ",\n".join(
        f"    bool_or(metric_name = {quote(part.name)} and {part.span.condition()})"
        f" as {prefix}_{name}"
        for prefix, definition in numbered
        for name, part in _parts(definition).items()
    )
    return f"select unit_no,\n{columns}\nfrom missing_values\ngroup by unit_no"


def _filled_sql(
    spec: ExperimentSpec, numbered: list[tuple[str, MetricDefinition]]
) -> str:
    columns = ",\n    ".join(
        text for one in numbered for text in _filled_columns(spec, *one)
    )
    return (
        f"select units.variant,\n    {columns}\nfrom units\n"
        "left join numbers on units.unit_no = numbers.unit_no\n"
        "left join lost on units.unit_no = lost.unit_no"
    )


def _filled_columns(
    spec: ExperimentSpec, prefix: str, definition: MetricDefinition
) -> Iterator[str]:
    """A unit without a row has 0; one that is left out has null."""
    grain = DAY_US if definition.is_day_grained else 1
    start = f"(units.exposure_us - units.exposure_us % {grain})"
    until = microseconds(spec.watermark_ts)
    is_mature = f"{start} + {maturity_us(definition)} <= {until}"
    parts = _parts(definition)
    lost = " or ".join(
        f"coalesce(lost.{prefix}_{name}, false)"
        for name in parts
        if name != "covariate"
    )
    yield f"not ({is_mature}) as {prefix}_is_immature"
    yield f"({lost}) as {prefix}_is_lost"
    counts = f"{is_mature} and not ({lost})"
    for name in ("value", "denominator"):
        if name in parts:
            number = f"coalesce(numbers.{prefix}_{name}, 0.0)"
            yield f"case when {counts} then {number} end as {prefix}_{name}"
    if definition.covariate is not None and "covariate" in parts:
        lookback = definition.covariate.lookback_days * DAY_US
        unknown = (
            f"(coalesce(lost.{prefix}_covariate, false)"
            f" or coalesce(units.first_seen_us >= {start} - {lookback}, false))"
        )
        number = f"case when {unknown} then 0.0 else coalesce(numbers.{prefix}_covariate, 0.0) end"
        yield f"case when {counts} then {number} end as {prefix}_covariate"
        flag = f"case when {unknown} then 1.0 else 0.0 end"
        yield f"cast(case when {counts} then {flag} end as double) as {prefix}_new_flag"


def _centres_sql(numbered: list[tuple[str, MetricDefinition]]) -> str:
    columns = ", ".join(
        f"avg({prefix}_value) as {prefix}_centre" for prefix, _ in numbered
    )
    return f"select variant, {columns} from filled group by variant"


def _moments_sql(numbered: list[tuple[str, MetricDefinition]]) -> str:
    """One row per arm, all metrics beside each other: one pass over the units."""
    columns = ",\n    ".join(
        f"{moment} as {prefix}_{name}"
        for prefix, definition in numbered
        for name, moment in _moments_of(prefix, definition).items()
    )
    return (
        f"select filled.variant,\n    {columns}\nfrom filled\n"
        "inner join centres on filled.variant = centres.variant\ngroup by filled.variant"
    )


def _moments_of(prefix: str, definition: MetricDefinition) -> dict[str, str]:
    """The moments of the columns that a metric has."""
    known = {"value", "centre", "is_immature", "is_lost", *_parts(definition)}
    if definition.covariate is not None and "covariate" in known:
        known.add("new_flag")
    return {
        name: _COLUMN.sub(rf"{prefix}_\1", moment)
        for name, moment in _MOMENTS.items()
        if known.issuperset(_COLUMN.findall(moment))
    }


def _answer_sql(spec: ExperimentSpec, prefix: str, definition: MetricDefinition) -> str:
    known = _moments_of(prefix, definition)
    columns = ",\n    ".join(
        f"{prefix}_{name} as {name}"
        if name in known
        else f"cast(null as double) as {name}"
        for name in _MOMENTS
    )
    return (
        f"select {quote(spec.experiment_id)} as experiment_id,\n"
        f"    {quote(definition.name)} as metric_name, variant, 'all' as segment,\n"
        f"    {columns}\nfrom moments"
    )
