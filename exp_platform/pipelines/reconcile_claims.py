"""What somebody else's number may be: every statistic and arm that was not ruled out."""

from collections.abc import Iterable, Mapping

from exp_platform.checks.reconciliation import ALL_ARMS, Claim, Printed, Statistic
from exp_platform.errors import UsageError
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricType

ALL = "all"


def list_claims(
    spec: ExperimentSpec,
    definition: MetricDefinition,
    given: Mapping[str, Printed],
    *,
    statistic: str | None,
    variant: str | None,
) -> tuple[Claim, ...]:
    """All readings of a number, or of one per arm.

    Args:
        spec: the experiment.
        definition: the metric.
        given: by variant; a single number at ALL_ARMS belongs to any arm.
        statistic: what it is; None = any that the metric has.
        variant: whose it is, an arm or `all`; None = anybody's.

    Raises:
        UsageError: the metric or the arm has no such number.
    """
    statistics = _choose_statistics(definition, statistic)
    if given.keys() == {ALL_ARMS}:
        wanted = _read_variant(spec, variant)
        claims = [
            Claim(one, {arm: given[ALL_ARMS]})
            for one in statistics
            for arm in _arms_of(definition, spec, one)
            if wanted in (None, arm)
        ]
    else:
        claims = [Claim(one, given) for one in statistics if _fits(spec, one, given)]
    if not claims:
        raise UsageError(
            "this arm has no such number",
            found=f"{statistic or 'any statistic'} of "
            f"{variant or ', '.join(given) or ALL}",
            allowed="difference and lift are of a treatment; a quantile, a difference "
            "and a lift are not of all arms together",
        )
    return tuple(claims)


def _fits(spec: ExperimentSpec, statistic: Statistic, variants: Iterable[str]) -> bool:
    return not statistic.is_of_pair or set(variants) <= set(spec.treatments)


def _choose_statistics(
    definition: MetricDefinition, asked: str | None
) -> tuple[Statistic, ...]:
    """Those that the metric has, or the one that was asked for."""
    missing = set()
    if definition.quantile is not None:
        missing.add(Statistic.TOTAL)
    if definition.type is not MetricType.RATIO:
        missing.add(Statistic.DENOMINATOR)
    has = tuple(statistic for statistic in Statistic if statistic not in missing)
    if asked is None:
        return has
    if asked not in has:
        raise UsageError(
            f"a {definition.type} has no statistic {asked!r}",
            allowed=", ".join(has),
            next_step="leave --statistic out to try all of these",
        )
    return (Statistic(asked),)


def _read_variant(spec: ExperimentSpec, asked: str | None) -> str | None:
    arms = [variant.name for variant in spec.variants]
    if asked is None or asked in arms:
        return asked
    if asked == ALL:
        return ALL_ARMS
    raise UsageError(
        f"no arm {asked!r} in {spec.experiment_id}",
        allowed=", ".join([*arms, ALL]),
    )


def _arms_of(
    definition: MetricDefinition, spec: ExperimentSpec, statistic: Statistic
) -> tuple[str, ...]:
    if statistic.is_of_pair:
        return spec.treatments
    arms = (spec.control, *spec.treatments)
    is_apart = definition.quantile is not None and statistic is Statistic.MEAN
    return arms if is_apart else (*arms, ALL_ARMS)
