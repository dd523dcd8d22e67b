"""Segments of a plan: facts from before the first exposure, anything else is refused.

A segment made of what happened after exposure compares different people in each arm.
"""

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.types import quote_text
from exp_platform.metrics.observations import POPULATION
from exp_platform.metrics.query import VARIANT
from exp_platform.pipelines.run import Run
from exp_platform.records import ExperimentSpec

USER = "dim_user."
PROFILE = tuple(
    USER + name for name in ("country", "device", "platform", "app", "app_version")
)


def check_segments(run: Run, spec: ExperimentSpec) -> None:
    """Refuse a plan whose segments are not known before exposure.

    Args:
        run: holds the accepted exposures as `exp.exposures`.
        spec: the experiment with its plan.

    Raises:
        ContractError: a segment is called like something of ours, or is no attribute of
            any exposure, and nothing that dim_user knows as of the first exposure.
    """
    segments = spec.plan.segments
    for name in segments:
        if claim := name_claim(name):
            raise _claimed(spec, name, claim)
    if not segments or not run.engine.rows("select 1 from exp.exposures limit 1"):
        return
    for name in segments:
        if name.startswith(USER):
            _check_profile(spec, name)
        elif not _is_attribute(run, name):
            raise _unknown(run, spec, name)


def name_claim(name: str) -> str:
    """What a segment of this name could not be told from; empty = it has its own.

    Args:
        name: of an attribute.
    """
    if name.lower() == VARIANT:
        return "the arm"
    if name == POPULATION:
        return "the rows without bots and without crossover"
    if "=" in name:
        return f"a level of {name.partition('=')[0]!r}"
    return ""


def _claimed(spec: ExperimentSpec, name: str, claim: str) -> ContractError:
    return ContractError(
        f"segment {name!r} cannot be told from {claim}",
        where=f"plan of {spec.experiment_id}",
        found=f"results name their segments {POPULATION}=without_bots, country=US",
        next_step="send it with the exposure under another name, or take it out of the "
        "plan",
    )


def _check_profile(spec: ExperimentSpec, name: str) -> None:
    if name not in PROFILE:
        raise ContractError(
            f"segment {name!r} is not known before exposure",
            where=f"plan of {spec.experiment_id}",
            found="a user's first and last event, and their number, change after it",
            allowed=did_you_mean(name, PROFILE),
            next_step="choose one of these; they are taken as of the first exposure",
        )
    if not spec.namespace:
        raise ContractError(
            f"segment {name!r} needs events",
            where=f"plan of {spec.experiment_id}",
            found="the experiment's registry row names no namespace",
            next_step="name the namespace of its events, or use an attribute of the "
            "exposures",
        )


def _is_attribute(run: Run, name: str) -> bool:
    entry = f"attributes[{quote_text(name)}]"
    query = f"select 1 from exp.exposures where {entry} is not null limit 1"
    return bool(run.engine.rows(query))


def _unknown(run: Run, spec: ExperimentSpec, name: str) -> ContractError:
    rows = run.engine.rows(
        "select distinct unnest(map_keys(attributes)) as name from exp.exposures\n"
        "order by name limit 50"
    )
    known = [str(row[0]) for row in rows]
    return ContractError(
        f"segment {name!r} is not known before exposure",
        where=f"plan of {spec.experiment_id}",
        found="no exposure has an attribute of that name"
        + (f"; exposures have {', '.join(known)}" if known else " or of any other"),
        allowed=did_you_mean(name, [*known, *(PROFILE if spec.namespace else ())]),
        next_step="send it with the exposure, or take it out of the plan: what happens "
        "after exposure is an outcome, not a segment",
    )
