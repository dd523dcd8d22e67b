"""Two experiments on the same units: who met which arms, and what became of them.

Both experiments' published tables are read under the names `first_*` and `second_*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from exp_platform.lake import Engine
from exp_platform.records import MetricTotals

Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class JointUnits:
    """How two analysis sets overlap.

    Attributes:
        n_first, n_second: units of each experiment.
        counts: units in both, by (arm of the first, arm of the second).
    """

    n_first: int
    n_second: int
    counts: Mapping[Cell, int]

    @property
    def n_both(self) -> int:
        """Units in both experiments."""
        return sum(self.counts.values())


COUNTS_SQL = """\
with
first_units as (
    select user_id, variant from exp.first_assignments where is_in_analysis
),

second_units as (
    select user_id, variant from exp.second_assignments where is_in_analysis
)

select
    first_units.variant as first_variant,
    second_units.variant as second_variant,
    count(*) as n
from first_units
full join second_units on first_units.user_id = second_units.user_id
group by first_units.variant, second_units.variant
order by first_units.variant, second_units.variant"""


def joint_sql(values: str, other: str) -> str:
    """Moments of one experiment's metrics by both experiments' arms.

    Args:
        values: prefix of the experiment whose metrics they are, `first` or `second`.
        other: prefix of the other one.

    Returns:
        A SELECT at grain metric, own_variant, other_variant; sums in the order of the
        units, so that they are the same every time.
    """
    return f"""\
select
    calculations.metric_name,
    calculations.variant as own_variant,
    assignments.variant as other_variant,
    count(*) as n,
    avg(calculations.value order by calculations.user_id) as mean,
    var_samp(calculations.value order by calculations.user_id) as variance,
    avg(calculations.denominator order by calculations.user_id) as denominator_mean,
    var_samp(calculations.denominator order by calculations.user_id)
        as denominator_variance,
    covar_samp(
        calculations.value, calculations.denominator order by calculations.user_id
    ) as denominator_covariance
from exp.{values}_calculations as calculations
inner join exp.{other}_assignments as assignments
    on calculations.user_id = assignments.user_id
where assignments.is_in_analysis
group by calculations.metric_name, calculations.variant, assignments.variant
order by calculations.metric_name, own_variant, other_variant"""


def count_joint_units(engine: Engine) -> JointUnits:
    """Units of both experiments by their arms.

    Args:
        engine: holds `exp.first_assignments` and `exp.second_assignments`.
    """
    rows = engine.rows(COUNTS_SQL)
    return JointUnits(
        n_first=sum(n for one, _, n in rows if one is not None),
        n_second=sum(n for _, two, n in rows if two is not None),
        counts={
            (one, two): n for one, two, n in rows if one is not None and two is not None
        },
    )


def read_joint_totals(
    engine: Engine, experiment_id: str, *, values: str, other: str
) -> dict[str, dict[Cell, MetricTotals]]:
    """Moments by metric and (own arm, arm of the other experiment).

    Args:
        engine: holds `exp.<values>_calculations` and `exp.<other>_assignments`.
        experiment_id: whose metrics they are.
        values: prefix of that experiment, `first` or `second`.
        other: prefix of the other one.
    """
    found: dict[str, dict[Cell, MetricTotals]] = {}
    for row in engine.records(joint_sql(values, other)):
        cell = (str(row.pop("own_variant")), str(row.pop("other_variant")))
        totals = MetricTotals(experiment_id, variant=" x ".join(cell), **row)
        found.setdefault(totals.metric_name, {})[cell] = totals
    return found
