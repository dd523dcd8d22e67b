"""Routes that compute: ask a question, compile it, fetch what took longer."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from exp_platform.pipelines.ask import (
    answer_query,
    find_subject,
    list_values,
    query_sql,
)
from exp_platform.serve.bodies import (
    AnswerBody,
    AsOfBody,
    JobBody,
    Name,
    QueryBody,
    SqlBody,
)
from exp_platform.serve.door import (
    DoorRoute,
    ExperimentId,
    Holder,
    WantedAnswer,
    has_current,
)
from exp_platform.serve.failures import document_errors
from exp_platform.serve.formats import MEDIA_TYPES, Format, write_answer
from exp_platform.serve.jobs import Job, Jobs, JobStatus

router = APIRouter(prefix="/v1", tags=["ask"], route_class=DoorRoute)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": AnswerBody,
        "content": {
            MEDIA_TYPES[Format.CSV].split(";")[0]: {"schema": {"type": "string"}},
            MEDIA_TYPES[Format.ARROW]: {"schema": {"type": "string"}},
        },
    },
    202: {"model": JobBody, "description": "takes longer: a job"},
    304: {"description": "unchanged"},
}


@router.post(
    "/experiments/{experiment_id}/query",
    responses={**_ANSWERS, **document_errors(404, 413, 422, 503)},
    response_model=None,
)
def ask_question(
    request: Request,
    experiment_id: ExperimentId,
    body: QueryBody,
    holder: Holder,
    wanted: WantedAnswer,
) -> Response:
    """Totals by metric, dimension and time; 202 and a job when they take longer."""
    settings, jobs = request.app.state.settings, request.app.state.jobs
    subject, query = find_subject(settings, experiment_id), body.query()
    sql = query_sql(subject, query)  # a wrong question is refused before it waits
    etag = f'"{subject.as_of.fingerprint(sql, wanted.output.value)}"'
    if has_current(wanted.known, etag):
        return Response(status_code=304, headers={"ETag": etag})
    job = jobs.submit(holder, lambda: answer_query(settings, subject, query))
    if wanted.is_async or not jobs.wait(job, request.app.state.wait_seconds):
        return _accepted(job)
    return write_answer(job.future.result(), wanted.output, etag=etag)


@router.post(
    "/experiments/{experiment_id}/sql",
    responses=document_errors(404, 413, 422, 503),
)
def compile_question(
    request: Request,
    experiment_id: ExperimentId,
    body: QueryBody,
    _: Holder,
    dialect: Annotated[Literal["duckdb", "spark", "trino"], Query()] = "duckdb",
) -> SqlBody:
    """The SQL of a question, not run."""
    subject = find_subject(request.app.state.settings, experiment_id)
    return SqlBody(
        sql=query_sql(subject, body.query(), dialect=dialect),
        dialect=dialect,
        as_of=AsOfBody.of(subject.as_of),
    )


@router.get(
    "/experiments/{experiment_id}/dimensions/{dimension:path}",
    responses={
        **{code: told for code, told in _ANSWERS.items() if code != 202},
        **document_errors(404, 422, 503),
    },
    response_model=None,
)
def read_values(
    request: Request,
    experiment_id: ExperimentId,
    dimension: Annotated[Name, Path()],
    _: Holder,
    wanted: WantedAnswer,
) -> Response:
    """Values of a dimension as filters name them, with the units that have each."""
    settings = request.app.state.settings
    subject = find_subject(settings, experiment_id)
    etag = f'"{subject.as_of.fingerprint(dimension, wanted.output.value)}"'
    if has_current(wanted.known, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return write_answer(
        list_values(settings, subject, dimension), wanted.output, etag=etag
    )


@router.get(
    "/jobs/{job_id}", response_model=JobBody, responses=document_errors(404, 422)
)
def tell_job(request: Request, job_id: str, holder: Holder) -> Response:
    """Where a job stands."""
    job = request.app.state.jobs.find(holder, job_id)
    return JSONResponse(_job(job).model_dump())


@router.get(
    "/jobs/{job_id}/result",
    responses={**_ANSWERS, **document_errors(404, 422, 503)},
    response_model=None,
)
def read_job(
    request: Request, job_id: str, holder: Holder, wanted: WantedAnswer
) -> Response:
    """The answer of a job; 202 while it runs, its error when it failed."""
    jobs: Jobs = request.app.state.jobs
    job = jobs.find(holder, job_id)
    if job.status is JobStatus.RUNNING:
        return _accepted(job)
    answer = job.future.result()
    etag = f'"{answer.as_of.fingerprint(answer.sql, wanted.output.value)}"'
    if has_current(wanted.known, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return write_answer(answer, wanted.output, etag=etag)


def _accepted(job: Job) -> Response:
    headers = {"Location": f"/v1/jobs/{job.job_id}", "Retry-After": "1"}
    return JSONResponse(_job(job).model_dump(), 202, headers)


def _job(job: Job) -> JobBody:
    return JobBody(
        job_id=job.job_id,
        status=job.status.value,
        result=f"/v1/jobs/{job.job_id}/result",
    )
