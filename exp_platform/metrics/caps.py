"""Percentile caps of a definition: which lack their number, and giving it to them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from exp_platform.errors import UsageError
from exp_platform.records import Covariate, MetricDefinition


def has_percentile_cap(definition: MetricDefinition) -> bool:
    """The definition or a covariate of it takes its cap from data, frozen or not."""
    return any(part.percentile_cap is not None for part in capped_parts(definition))


def lacks_cap(definition: MetricDefinition) -> bool:
    """Some percentile cap of it has no number yet."""
    return any(is_open(part) for part in capped_parts(definition))


def is_open(part: MetricDefinition | Covariate) -> bool:
    """A percentile cap without its number."""
    return part.percentile_cap is not None and part.cap is None


def require_caps(definition: MetricDefinition) -> None:
    """Refuse a percentile cap without its number: values would go uncapped.

    Raises:
        UsageError: the definition or a covariate of it has one.
    """
    for part in capped_parts(definition):
        rule = part.percentile_cap
        if rule is not None and is_open(part):
            raise UsageError(
                f"the cap of metric {definition.name!r} has no number",
                found=f"percentile {rule.share:.15g}",
                allowed="a number such as `cap: 250`, or one that a run has frozen",
                next_step="`exp run` freezes it for an experiment; elsewhere write it down",
            )


def give_caps(
    definition: MetricDefinition, caps: Sequence[float | None]
) -> MetricDefinition:
    """The definition with numbers in place of what is open.

    Args:
        definition: its percentile caps may lack their numbers.
        caps: of the metric and of each covariate in order; used where one is open.
    """
    own, *past = [
        cap if is_open(part) else part.cap
        for part, cap in zip(capped_parts(definition), caps, strict=True)
    ]
    covariates = [
        replace(covariate, cap=cap)
        for covariate, cap in zip(definition.covariates, past, strict=True)
    ]
    return replace(
        definition,
        cap=own,
        covariate=covariates[0] if definition.covariate is not None else None,
        more_covariates=tuple(covariates[definition.covariate is not None :]),
    )


def recall_caps(
    definition: MetricDefinition, earlier: MetricDefinition | None
) -> MetricDefinition:
    """The definition with the numbers that were frozen before.

    Args:
        definition: as it is declared.
        earlier: what a result was made with; None = there is none. Where it means
            something else, by more than the number, its numbers do not count.
    """
    if earlier is None or earlier.definition_hash != definition.definition_hash:
        return definition
    return give_caps(definition, [part.cap for part in capped_parts(earlier)])


def capped_parts(
    definition: MetricDefinition,
) -> Iterator[MetricDefinition | Covariate]:
    """What may have a cap: the metric, then its covariates in order."""
    yield definition
    yield from definition.covariates
