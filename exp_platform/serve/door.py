"""What every request passes: the token, the wanted format, the answer one has already."""

import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Message, Receive

from exp_platform.errors import UsageError
from exp_platform.serve.formats import Format
from exp_platform.serve.tokens import TokenFile, Tokens

LONGEST_BODY = 16 * 1024 * 1024

_log = logging.getLogger(__name__)
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_BEARER = HTTPBearer(auto_error=False, description="made with `exp token NAME`")


def find_holder(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> str:
    """Who asks.

    Raises:
        HTTPException: 401 without a known token, 503 when the token file is broken.
    """
    tokens: Tokens | TokenFile = request.app.state.tokens
    try:
        holder = tokens.holder_of(credentials.credentials) if credentials else None
    except UsageError as error:
        _log.error("nobody is let in: %s", error)  # a stranger learns no path
        raise HTTPException(503, "tokens cannot be checked now") from error
    if holder is None:
        raise HTTPException(
            401, "a known bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )
    return holder


class DoorRoute(APIRoute):
    """Lets in before it reads: no body of a stranger's, none that is too long."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler behind the door."""
        answer = super().get_route_handler()

        async def admit(request: Request) -> Response:
            """Token first, then the body, a piece at a time."""
            find_holder(request, await _BEARER(request))
            return await answer(Request(request.scope, _bound(request.receive)))

        return admit


def _bound(receive: Receive) -> Receive:
    length = 0

    async def receive_bounded() -> Message:
        """The next piece, unless they are too long together."""
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > LONGEST_BODY:
            raise HTTPException(413, f"a question has at most {LONGEST_BODY:,} bytes")
        return message

    return receive_bounded


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an answer is wanted.

    Attributes:
        known: ETags the client holds.
        is_async: a job at once, without waiting.
    """

    output: Format
    known: str | None
    is_async: bool


def read_wishes(
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    output: Annotated[
        Format | None, Query(alias="format", description="wins over Accept")
    ] = None,
    known: Annotated[str | None, Header(alias="If-None-Match")] = None,
    prefer: Annotated[
        str | None, Header(description="respond-async: do not wait")
    ] = None,
) -> Wanted:
    """The format of `?format=`, else the dearest known one in `Accept`, else JSON."""
    chosen = output or _dearest_known(accept or "")
    return Wanted(chosen, known, "respond-async" in (prefer or ""))


def _dearest_known(accept: str) -> Format:
    """By weight, among equals the first."""
    for part in sorted(accept.split(","), key=_weigh, reverse=True):
        kind = part.split(";")[0].strip().lower()
        if not _weigh(part):
            break
        if kind == "text/csv":
            return Format.CSV
        if kind.startswith("application/vnd.apache.arrow"):
            return Format.ARROW
        if kind in {"application/json", "*/*", "application/*"}:
            return Format.JSON
    return Format.JSON


def _weigh(part: str) -> float:
    """The weight `q` of a part of `Accept`; 0 = not wanted, or not readable."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            weight = value.strip()
            return float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return 1.0


def has_current(known: str | None, etag: str) -> bool:
    """Does the client hold this very answer (If-None-Match)?"""
    tags = [tag.strip().removeprefix("W/") for tag in (known or "").split(",")]
    return etag in tags or "*" in tags


Holder = Annotated[str, Depends(find_holder)]
ExperimentId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", min_length=1, max_length=128)
]
WantedAnswer = Annotated[Wanted, Depends(read_wishes)]
KnownTag = Annotated[str | None, Header(alias="If-None-Match")]
