"""Routes that list and describe: experiments, their results, metric definitions."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from exp_platform.errors import UnpublishedError, did_you_mean
from exp_platform.metrics.definitions import load_definitions
from exp_platform.pipelines.ask import find_subject, read_estimates
from exp_platform.pipelines.shown import last_runs
from exp_platform.records import MetricDefinition
from exp_platform.serve.bodies import (
    AsOfBody,
    ExperimentBody,
    MetricBody,
    SubjectBody,
)
from exp_platform.serve.door import (
    DoorRoute,
    ExperimentId,
    Holder,
    KnownTag,
    has_current,
)
from exp_platform.serve.failures import document_errors

router = APIRouter(prefix="/v1", tags=["read"], route_class=DoorRoute)
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "unchanged"}}


@router.get(
    "/experiments",
    response_model=list[ExperimentBody],
    responses={**document_errors(503), **_UNCHANGED},
)
def list_experiments(request: Request, _: Holder, known: KnownTag = None) -> Response:
    """Experiments with a published run, and their last decision."""
    rows = [
        ExperimentBody(
            experiment_id=name,
            verdict=row["verdict"],
            decision=row["outcome"],
            computed_at=row["computed_at"],
            run_id=row["run_id"],
        ).model_dump(mode="json")
        for name, row in sorted(last_runs(request.app.state.settings).items())
    ]
    return _tagged(rows, known)


@router.get(
    "/experiments/{experiment_id}",
    response_model=SubjectBody,
    responses={**document_errors(404, 422, 503), **_UNCHANGED},
)
def describe_experiment(
    request: Request, experiment_id: ExperimentId, _: Holder, known: KnownTag = None
) -> Response:
    """Window, arms, metrics and dimensions of one experiment."""
    subject = find_subject(request.app.state.settings, experiment_id)
    spec, words = subject.spec, subject.words
    body = SubjectBody(
        experiment_id=experiment_id,
        owner=spec.owner,
        hypothesis=spec.hypothesis,
        start=spec.start_ts if spec.is_dated else None,
        end=spec.end_ts if spec.is_dated else None,
        variants={v.name: v.weight for v in spec.variants},
        control=spec.control,
        metrics={name: kind.value for name, kind in words.metrics.items()},
        roles={name: spec.plan.of(name).role.value for name in words.metrics},
        dimensions=list(words.dimensions),
        as_of=AsOfBody.of(subject.as_of),
    )
    return _tagged(body.model_dump(mode="json"), known)


@router.get(
    "/experiments/{experiment_id}/results",
    response_model=list[dict[str, Any]],
    responses={**document_errors(404, 422, 503), **_UNCHANGED},
)
def read_results(
    request: Request, experiment_id: ExperimentId, _: Holder, known: KnownTag = None
) -> Response:
    """Every stored estimate of an experiment, refused methods included."""
    return _tagged(read_estimates(request.app.state.settings, experiment_id), known)


@router.get(
    "/metrics",
    response_model=list[MetricBody],
    responses={**document_errors(422), **_UNCHANGED},
)
def list_metrics(request: Request, _: Holder, known: KnownTag = None) -> Response:
    """Metric definitions of the project."""
    found = load_definitions(request.app.state.settings.paths.metrics)
    return _tagged([_metric(d) for d in found.values()], known)


@router.get(
    "/metrics/{name}",
    response_model=MetricBody,
    responses={**document_errors(404, 422), **_UNCHANGED},
)
def describe_metric(
    request: Request, name: str, _: Holder, known: KnownTag = None
) -> Response:
    """One metric definition of the project."""
    found = load_definitions(request.app.state.settings.paths.metrics)
    if name not in found:
        raise UnpublishedError(f"no metric {name!r}", allowed=did_you_mean(name, found))
    return _tagged(_metric(found[name]), known)


def _metric(definition: MetricDefinition) -> dict[str, Any]:
    body = MetricBody(
        name=definition.name,
        version=f"{definition.version}:{definition.definition_hash}",
        type=definition.type.value,
        direction=definition.direction.value,
        owner=definition.owner,
        description=definition.description,
        definition=asdict(definition),
    )
    return body.model_dump(mode="json")


def _tagged(document: Any, known: str | None) -> Response:
    """A JSON answer with the hash of its content as ETag."""
    text = json.dumps(document, default=str, sort_keys=True, allow_nan=False)
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if has_current(known, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return JSONResponse(json.loads(text), headers={"ETag": etag})
