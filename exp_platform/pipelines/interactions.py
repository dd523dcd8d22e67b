"""Do two experiments that ran on the same units disturb each other?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from exp_platform.config import Settings
from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.lake import Engine, Lake, open_lake, validate_experiment_id
from exp_platform.metrics.joint import (
    JointUnits,
    count_joint_units,
    read_joint_totals,
)
from exp_platform.pipelines.registry import read_spec, require_totals
from exp_platform.pipelines.run import nothing_stored
from exp_platform.records import Assignment, ExperimentSpec
from exp_platform.stats.contingency import TableTest, assess_table
from exp_platform.stats.interaction import (
    Contrast,
    InteractionTest,
    assess_interaction,
)
from exp_platform.stats.multiplicity import adjust_holm

SIDES = ("first", "second")
DEPENDENT = 0.001
"""p of the joint assignment below which it is called dependent, as for SRM."""

Row = Mapping[str, Any]
_TABLES = {
    "experiment_registry": "registry",
    "experiment_assignments": "assignments",
    "metric_calculations": "calculations",
}


@dataclass(frozen=True, slots=True)
class MetricInteraction:
    """One metric of one of the two experiments.

    Attributes:
        experiment_id: whose metric it is; values count from its exposure on.
        test: contrasts of this experiment's effects under the other one's arms.
        p_value_adjusted: of the joint test, after Holm over all metrics of both.
    """

    experiment_id: str
    metric_name: str
    test: InteractionTest
    p_value_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Interactions:
    """What two experiments on the same units say about each other.

    Attributes:
        first, second: experiment ids. controls: their control arms.
        units: overlap of the two analysis sets.
        assignment: independence of the two assignments among the units in both.
        metrics: of the first experiment, then of the second.
    """

    first: str
    second: str
    controls: tuple[str, str]
    units: JointUnits
    assignment: TableTest
    metrics: tuple[MetricInteraction, ...]


def assess_experiments(
    settings: Settings, first: str, second: str, *, metrics: Sequence[str] = ()
) -> Interactions:
    """Chi-square on the joint assignment, and how each effect changes by metric.

    Args:
        settings: a loaded configuration.
        first: an experiment that was run.
        second: another one.
        metrics: names of either plan; none = all.

    Raises:
        UsageError: the same experiment twice, an unknown metric, or a panel.
        ContractError: nothing stored, different kinds of units, assignment not by
            chance and by unit, or no unit in both.
    """
    if validate_experiment_id(first) == validate_experiment_id(second):
        raise UsageError(
            "an experiment cannot be compared with itself",
            found=first,
            next_step="name two experiments",
        )
    with open_lake(settings) as lake, lake.engine() as engine:
        specs = tuple(
            _attach(lake, engine, side, name)
            for side, name in zip(SIDES, (first, second), strict=True)
        )
        _require_same_units(specs)
        units = count_joint_units(engine)
        _require_overlap(specs, units)
        tested = tuple(_assess(engine, specs, side) for side in (0, 1))
    found = _pick([*tested[0], *tested[1]], metrics)
    controls = (specs[0].control, specs[1].control)
    return Interactions(
        first, second, controls, units, _assess_split(units), _adjust(found)
    )


def as_document(found: Interactions) -> dict[str, Any]:
    """Everything that was found, as JSON values."""
    counts = [
        {"first": one, "second": two, "n": n}
        for (one, two), n in found.units.counts.items()
    ]
    units = {
        "n_first": found.units.n_first,
        "n_second": found.units.n_second,
        "n_both": found.units.n_both,
        "counts": counts,
    }
    return {**asdict(replace(found, metrics=())), "units": units} | {
        "metrics": [asdict(one) for one in found.metrics]
    }


def as_tables(found: Interactions) -> tuple[list[Row], list[Row]]:
    """Units by both experiments' arms, and one line per contrast of a metric."""
    arms = [list(dict.fromkeys(c[side] for c in found.units.counts)) for side in (0, 1)]
    counts: list[Row] = [
        {
            found.first: one,
            **{
                f"{found.second}: {two}": found.units.counts.get((one, two), 0)
                for two in arms[1]
            },
        }
        for one in arms[0]
    ]
    lines = [
        _contrast_line(one, contrast)
        for one in found.metrics
        for contrast in one.test.contrasts
    ]
    return counts, lines


def as_notes(found: Interactions) -> list[str]:
    """What the tables do not say: the overlap, the split, and what has no test."""
    units, split = found.units, found.assignment
    overlap = (
        f"{units.n_both:,} units in both, of {units.n_first:,} in {found.first} and "
        f"{units.n_second:,} in {found.second}"
    )
    notes = [overlap]
    if split.p_value is None:
        notes.append("joint assignment: one of the two has a single arm there")
    else:
        words = f"not below {DEPENDENT:g}: no sign of dependence"
        if split.p_value < DEPENDENT:
            words = (
                f"below {DEPENDENT:g}: DEPENDENT, each effect is mixed with the other "
                "experiment's"
            )
        notes.append(
            f"joint assignment: chi-square {split.statistic:.4g}, df {split.df}, "
            f"p {split.p_value:.4g}, {words}"
        )
    notes += [
        f"no test ({one.test.reason}): {one.metric_name} of {one.experiment_id}"
        for one in found.metrics
        if one.test.reason
    ]
    return notes


def _contrast_line(one: MetricInteraction, contrast: Contrast) -> Row:
    p, adjusted = one.test.p_value, one.p_value_adjusted
    return {
        "experiment": one.experiment_id,
        "metric": one.metric_name,
        "arms": f"{contrast.treatment} x {contrast.other}",
        "effect alone": f"{contrast.effect_alone:.4g}",
        "effect together": f"{contrast.effect_under:.4g}",
        "difference": f"{contrast.difference:.4g}",
        "interval": f"{contrast.ci_lower:.4g} to {contrast.ci_upper:.4g}",
        "p": f"{contrast.p_value:.4g}",
        "joint p": "" if p is None else f"{p:.4g}",
        "adjusted p": "" if adjusted is None else f"{adjusted:.4g}",
    }


def _attach(lake: Lake, engine: Engine, side: str, name: str) -> ExperimentSpec:
    for table, short in _TABLES.items():
        view = f"exp.{side}_{short}"
        lake.attach(engine, table, experiment_id=name, name=view)
        (count,) = engine.rows(f"select count(*) from {view}")[0]
        if not count:
            raise nothing_stored(name, table)
        if short == "registry":
            rows = engine.records(f"select * from {view}")
            spec = require_totals(read_spec(rows[0]))
    return spec


def _require_same_units(specs: Sequence[ExperimentSpec]) -> None:
    kinds = [spec.unit_type for spec in specs]
    if kinds[0] != kinds[1]:
        raise ContractError(
            "the two experiments assign different kinds of units",
            where=" and ".join(spec.experiment_id for spec in specs),
            found=f"{kinds[0]} and {kinds[1]}",
            allowed="one unit_type",
            next_step="compare experiments on the same kind of unit",
        )
    for spec in specs:
        by_chance = spec.assignment is Assignment.RANDOMISED
        if by_chance and spec.cluster is None:
            continue
        how = f"by cluster {spec.cluster!r}" if by_chance else spec.assignment.value
        raise ContractError(
            "an interaction needs two experiments that assign single units by chance",
            where=spec.experiment_id,
            found=f"assigned {how}",
        )


def _require_overlap(specs: Sequence[ExperimentSpec], units: JointUnits) -> None:
    if units.n_both:
        return
    windows = [f"{s.start_ts:%Y-%m-%d} to {s.end_ts:%Y-%m-%d}" for s in specs]
    raise ContractError(
        "the two experiments share no unit",
        where=" and ".join(spec.experiment_id for spec in specs),
        found=f"{units.n_first:,} units ({windows[0]}) and {units.n_second:,} "
        f"({windows[1]}), none in both",
        next_step="nothing to do: they cannot disturb each other; if they should share "
        "units, compare how each names them",
    )


def _assess(
    engine: Engine, specs: Sequence[ExperimentSpec], side: int
) -> list[MetricInteraction]:
    """Every metric of one of the two experiments, its own arms first."""
    own, controls = specs[side], (specs[side].control, specs[1 - side].control)
    cells = read_joint_totals(
        engine, own.experiment_id, values=SIDES[side], other=SIDES[1 - side]
    )
    return [
        MetricInteraction(
            own.experiment_id,
            name,
            assess_interaction(
                table,
                controls,
                alpha=own.plan.alpha,
                min_units=own.plan.min_units_per_arm,
            ),
        )
        for name, table in cells.items()
    ]


def _pick(
    found: list[MetricInteraction], names: Sequence[str]
) -> list[MetricInteraction]:
    known = {one.metric_name for one in found}
    for name in names:
        if name not in known:
            raise UsageError(
                f"no metric {name!r} in either experiment",
                allowed=did_you_mean(name, known),
            )
    return [one for one in found if not names or one.metric_name in names]


def _adjust(found: list[MetricInteraction]) -> tuple[MetricInteraction, ...]:
    adjusted = adjust_holm([one.test.p_value for one in found])
    return tuple(
        replace(one, p_value_adjusted=None if math.isnan(p) else float(p))
        for one, p in zip(found, adjusted, strict=True)
    )


def _assess_split(units: JointUnits) -> TableTest:
    first, second = (
        list(dict.fromkeys(cell[side] for cell in units.counts)) for side in (0, 1)
    )
    return assess_table(
        [[units.counts.get((one, two), 0) for two in second] for one in first]
    )
