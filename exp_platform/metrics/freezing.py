"""The number of a percentile cap, from the rows of an experiment."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from fractions import Fraction

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.caps import capped_parts, give_caps, is_open
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.measures import Chain, covariate_of, value_part
from exp_platform.metrics.models import (
    GENERATED,
    model_order,
    model_sql,
    open_absent,
)
from exp_platform.metrics.rebuild import Rebuilder
from exp_platform.metrics.scope import write_scope
from exp_platform.metrics.spans import DAY_US, Span
from exp_platform.metrics.unit_values import Part
from exp_platform.records import (
    CapOrigin,
    Covariate,
    Direction,
    ExperimentSpec,
    MetricDefinition,
    MetricType,
    PercentileCap,
)

_TOTALS = "metric_calculations"

Place = tuple[str, int]
"""A metric's name, and 0 for its own cap or the number of a covariate."""


def compute_caps(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    *,
    fixed_point: Collection[str],
) -> dict[str, MetricDefinition]:
    """Every definition with the number of each percentile cap that has none.

    The number is order statistic ceil(share x n) of the unit totals, pooled over arms.
    Totals are those of the uncapped metric, of units in the analysis that have matured
    and miss no value. Before the exposure (a covariate, or a cap from the pre-period)
    a unit has matured when it is exposed; one that was new then has the total 0.

    Args:
        engine: holds the sources `exp.*`; its scope `exp_run.run_*` is overwritten.
        spec: the experiment.
        definitions: its metrics.
        fixed_point: outcomes whose values all have at most six decimals.

    Raises:
        ContractError: no unit has a total yet.
        UsageError: the order statistic is not positive, or a funnel's past has a cap.
    """
    rules: dict[Place, PercentileCap] = {}
    probes: dict[Place, MetricDefinition] = {}
    for name, definition in definitions.items():
        for number, part in enumerate(capped_parts(definition)):
            if part.percentile_cap is not None and is_open(part):
                place = (name, number)
                rules[place] = part.percentile_cap
                probes[place] = _probe(f"cap_{len(probes)}", definition, part)
    if not probes:
        return dict(definitions)
    caps = _rank_totals(engine, spec, probes, rules, fixed_point)
    return {
        name: give_caps(
            definition,
            [caps.get((name, i)) for i, _ in enumerate(capped_parts(definition))],
        )
        for name, definition in definitions.items()
    }


def _probe(
    name: str, definition: MetricDefinition, part: MetricDefinition | Covariate
) -> MetricDefinition:
    """A metric whose value is the total that the cap is for, uncapped."""
    if isinstance(part, Covariate):
        measure = covariate_of(definition, part)
        if isinstance(measure, Chain):
            raise UsageError(
                f"a covariate of metric {definition.name!r} has a cap without effect",
                found="whether a funnel was walked: 0 or 1",
                next_step="remove the cap",
            )
        return _sum_up(name, measure)
    rule, days = definition.percentile_cap, definition.window_days
    if rule is not None and rule.origin is CapOrigin.PRE_PERIOD and days is not None:
        before = Span(-days, 0.0, definition.is_day_grained)
        return _sum_up(name, replace(value_part(definition), span=before))
    return replace(
        definition,
        name=name,
        percentile_cap=None,
        covariate=None,
        more_covariates=(),
    )


def _sum_up(name: str, part: Part) -> MetricDefinition:
    """A metric of one part alone; a window before the exposure has a negative delay."""
    span = part.span
    return MetricDefinition(
        name=name,
        version=1,
        type=MetricType.MEAN,
        direction=Direction.INCREASE,
        numerator=part.name,
        rows=part.rows,
        aggregation=part.aggregation,
        delay_days=span.lower,
        window_days=None if span.upper is None else span.upper - span.lower,
        is_day_grained=span.is_day_grained,
    )


def _rank_totals(
    engine: Engine,
    spec: ExperimentSpec,
    probes: Mapping[Place, MetricDefinition],
    rules: Mapping[Place, PercentileCap],
    fixed_point: Collection[str],
) -> dict[Place, float]:
    write_scope(engine, spec, {probe.name: probe for probe in probes.values()})
    open_absent(engine)
    generated = generate_selects(probes.values(), (), fixed_point=fixed_point)
    texts = {
        name: generated[name] if name in GENERATED else model_sql(name)
        for name, _ in model_order(groups=("metrics",))
    }
    rebuilder = Rebuilder(engine)
    try:
        relations = rebuilder.build(texts, (_TOTALS,))
        return {
            place: _order_statistic(
                engine, _totals_sql(relations, probe), place[0], rules[place]
            )
            for place, probe in probes.items()
        }
    finally:
        rebuilder.forget()


def _totals_sql(relations: Mapping[str, str], probe: MetricDefinition) -> str:
    """A probe's unit totals; before the exposure, 0 for a unit that was new then."""
    value = "totals.value"
    if probe.delay_days < 0:
        instant = "units.exposure_us"
        if probe.is_day_grained:
            instant = f"({instant} - {instant} % {DAY_US})"
        opens = f"{instant} - {round(-probe.delay_days * DAY_US)}"
        is_new = f"coalesce(units.first_seen_us >= {opens}, false)"
        value = f"case when {is_new} then 0.0 else {value} end"
    return (
        f"(select {value} as value from {relations[_TOTALS]} as totals\n"
        f"inner join {relations['experiment_assignments']} as units\n"
        "    on totals.unit_no = units.unit_no\n"
        f"where totals.metric_name = {quote(probe.name)}) as unit_totals"
    )


def _order_statistic(
    engine: Engine, units: str, metric: str, rule: PercentileCap
) -> float:
    ranked = f"{units} where value <> 0" if rule.is_nonzero else units
    n_units = int(engine.rows(f"select count(*) from {ranked}")[0][0])
    if not n_units:
        raise ContractError(
            f"the cap of metric {metric!r} cannot be taken yet",
            found="no unit with a total" + " other than 0" * rule.is_nonzero,
            next_step="run when the first units have matured, or write a number down",
        )
    # exact: as a product of doubles 0.07 x 100 would round up to 8
    number = math.ceil(Fraction(repr(rule.share)) * n_units)
    sql = f"select value from {ranked} order by value limit 1 offset {number - 1}"
    cap = float(engine.rows(sql)[0][0])
    if cap <= 0:
        raise UsageError(
            f"the cap of metric {metric!r} would be {cap:.15g}",
            found=f"order statistic {number} of {n_units} unit totals",
            allowed="a cap above 0",
            next_step="say `nonzero: true`, take a higher percentile or write a number",
        )
    return cap
