"""Start the server: tokens first, then the socket."""

import sys
from dataclasses import dataclass
from pathlib import Path

from exp_platform.config import Settings
from exp_platform.errors import UsageError
from exp_platform.serve.tokens import (
    TokenFile,
    Tokens,
    hash_token,
    new_token,
    read_tokens,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 = any free one."""

    host: str = "127.0.0.1"
    port: int = 8000


def serve(settings: Settings, address: Address, tokens: Path) -> None:
    """Serve the metrics API until it is told to stop.

    Args:
        settings: a loaded configuration.
        address: where to listen.
        tokens: file made by `exp token`; without it a token for this process is made
            and printed, on a loopback address only.

    Raises:
        UsageError: no token file for an address others can reach, an address that
            cannot be used, or the extra `serve` is not installed.
    """
    try:
        import uvicorn

        from exp_platform.serve.app import build_app
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            next_step="pip install 'exp-platform[serve]'",
        ) from error
    known = _choose_tokens(address, tokens)
    app = build_app(settings, known)
    try:
        uvicorn.run(app, host=address.host, port=address.port, log_level="info")
    except SystemExit as error:  # it has logged why, and its code is none of ours
        raise UsageError(
            "the server could not start",
            where=f"--host {address.host} --port {address.port}",
            found="the error above",
            next_step="choose a free port of this machine; --port 0 takes any",
        ) from error


def _choose_tokens(address: Address, file: Path) -> Tokens | TokenFile:
    if file.exists():
        read_tokens(file)  # a file with no token in it is told before the socket opens
        return TokenFile(file)
    if address.host not in LOOPBACK:
        raise UsageError(
            "others could reach this address, and there is no token file",
            where=str(file),
            found=f"--host {address.host}",
            next_step="make a token with `exp token NAME`",
        )
    token = new_token()
    sys.stderr.write(
        f"no token file at {file}: a token for this process alone is\n  {token}\n"
    )
    return Tokens({"this process": hash_token(token)})
