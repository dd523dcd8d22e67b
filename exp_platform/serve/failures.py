"""Our errors, and the framework's, as one kind of JSON body."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from exp_platform.errors import (
    ContractError,
    ExpPlatformError,
    StorageError,
    UnpublishedError,
    UsageError,
)
from exp_platform.serve.bodies import ErrorBody

STATUS_CODES: dict[type[ExpPlatformError], int] = {
    UsageError: 422,
    UnpublishedError: 404,
    ContractError: 503,
    StorageError: 503,
}
"""The first that fits. Data that broke are no more the client's fault than the lake."""


def document_errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for the OpenAPI document."""
    return {code: {"model": ErrorBody} for code in (401, *codes)}


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error with an `ErrorBody`."""
    app.add_exception_handler(ExpPlatformError, _tell_ours)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(Exception, _tell_unknown)


def _respond(code: int, body: ErrorBody, headers: Any = None) -> JSONResponse:
    return JSONResponse(body.model_dump(exclude_none=True), code, headers)


async def _tell_ours(_: Request, error: Exception) -> JSONResponse:
    parts = error.parts if isinstance(error, ExpPlatformError) else {}
    body = ErrorBody(
        error=error.what if isinstance(error, ExpPlatformError) else str(error),
        where=parts.get("where"),
        found=parts.get("found"),
        allowed=parts.get("allowed"),
        next_step=parts.get("next"),
    )
    code = next((c for kind, c in STATUS_CODES.items() if isinstance(error, kind)), 500)
    return _respond(code, body)


async def _tell_invalid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ()))
    body = ErrorBody(
        error=str(first.get("msg", "not a valid request")),
        where=where or None,
        next_step="see /openapi.json",
    )
    return _respond(422, body)


async def _tell_http(_: Request, error: Exception) -> JSONResponse:
    code = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else "failed"
    headers = error.headers if isinstance(error, HTTPException) else None
    return _respond(code, ErrorBody(error=detail), headers)


async def _tell_unknown(_: Request, __: Exception) -> JSONResponse:
    return _respond(500, ErrorBody(error="the server failed; its log says where"))
