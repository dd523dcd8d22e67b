"""The metrics API: list, describe, ask, compile. Numbers come with their origin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from exp_platform.config import Settings
from exp_platform.serve import questions, reading
from exp_platform.serve.failures import install_error_handlers
from exp_platform.serve.heads import AnswerHead
from exp_platform.serve.jobs import Jobs
from exp_platform.serve.tokens import TokenFile, Tokens

WAIT_SECONDS = 20.0


def build_app(
    settings: Settings,
    tokens: Tokens | TokenFile,
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> FastAPI:
    """The web application over one lake.

    Args:
        settings: a loaded configuration.
        tokens: who may ask; without a known token every route but /healthz is 401.
        wait_seconds: a question that takes longer becomes a job (202).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Wait for running jobs when the server stops."""
        yield
        app.state.jobs.close()

    app = FastAPI(
        title="exp_platform metrics API",
        version="1",
        description=(
            "Totals of experiments by metric, dimension and time. Each answer names "
            "its metric definitions, Iceberg snapshots and watermark, and is "
            "identified by an ETag."
        ),
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.tokens = tokens
    app.state.jobs = Jobs()
    app.state.wait_seconds = wait_seconds
    install_error_handlers(app)
    app.add_middleware(AnswerHead)
    app.include_router(reading.router)
    app.include_router(questions.router)

    @app.get("/healthz", tags=["health"])
    async def tell_health() -> dict[str, str]:
        """Is the server up? Needs no token and says nothing else."""
        # in the event loop, so that it never waits for a thread behind questions
        return {"status": "ok"}

    return app
