"""What every request passes: the token, the wanted format, the answer one has already."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from exp_platform.serve.formats import Format
from exp_platform.serve.tokens import Tokens

_BEARER = HTTPBearer(auto_error=False, description="made with `exp token NAME`")


def find_holder(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> str:
    """Who asks.

    Raises:
        HTTPException: 401 without a known token.
    """
    tokens: Tokens = request.app.state.tokens
    holder = tokens.holder_of(credentials.credentials) if credentials else None
    if holder is None:
        raise HTTPException(
            401, "a known bearer token is needed", {"WWW-Authenticate": "Bearer"}
        )
    return holder


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
    """The format of `?format=`, else the first known one in `Accept`, else JSON."""
    chosen = output or _first_known(accept or "")
    return Wanted(chosen, known, "respond-async" in (prefer or ""))


def _first_known(accept: str) -> Format:
    for part in accept.split(","):
        kind = part.split(";")[0].strip()
        if kind == "text/csv":
            return Format.CSV
        if kind.startswith("application/vnd.apache.arrow"):
            return Format.ARROW
        if kind in {"application/json", "*/*", "application/*"}:
            return Format.JSON
    return Format.JSON


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
