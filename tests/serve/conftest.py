"""The metrics API over real tables, on a real socket of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from exp_platform.config import load_settings
from exp_platform.serve.app import build_app
from exp_platform.serve.tokens import Tokens, hash_token

TOKEN = "a-token-of-the-tests"
STRANGER = "another-token"


@contextmanager
def listen(app: FastAPI) -> Iterator[str]:
    """Serve on a free loopback port; gives the base URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def make_app(ready: Any) -> Callable[[], FastAPI]:
    known = Tokens({"tests": hash_token(TOKEN), "other": hash_token(STRANGER)})
    settings = load_settings(str(ready.config))
    return lambda: build_app(settings, known, wait_seconds=60)


@pytest.fixture(scope="session")
def address(make_app: Callable[[], FastAPI]) -> Iterator[str]:
    with listen(make_app()) as base:
        yield base


@pytest.fixture(scope="session")
def open_client(address: str) -> Iterator[Callable[..., httpx.Client]]:
    with ExitStack() as opened:

        def make(headers: dict[str, str], base: str = address) -> httpx.Client:
            client = httpx.Client(base_url=base, headers=headers, timeout=60)
            return opened.enter_context(client)

        yield make


@pytest.fixture(scope="session")
def client(open_client: Callable[..., httpx.Client]) -> httpx.Client:
    return open_client({"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture(name="listen", scope="session")
def _listen() -> Callable[[FastAPI], Any]:
    return listen
