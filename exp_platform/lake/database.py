"""The catalog's database: its errors in our words, its URL without the password."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from exp_platform.errors import StorageError

WAIT_SECONDS = 10
"""For a connection, and for each answer; a statement here moves a few rows."""
# it prints a traceback of a connection that broke, before our own words
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())


def open_database(uri: str) -> Engine:
    """A PostgreSQL database; the first use connects."""
    with catalog_errors(hide_password(uri)):
        return limit_waiting(create_engine(uri))


def limit_waiting(database: Engine) -> Engine:
    """The same, not yet connected; a server that hangs is an error in time."""
    if database.dialect.name == "postgresql":

        @event.listens_for(database, "do_connect")
        def _limit(*told: Any) -> None:
            told[-1]["timeout"] = WAIT_SECONDS

    return database


def hide_password(uri: str) -> str:
    """A database URL fit to be shown."""
    return make_url(uri).render_as_string(hide_password=True)


@contextmanager
def catalog_errors(where: str) -> Iterator[None]:
    """What the catalog's database refused, in our words.

    Raises:
        StorageError: it cannot be reached, or refuses.
    """
    try:
        yield
    except (DBAPIError, TimeoutError) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        raise StorageError(
            "the catalog cannot be used",
            where=where,
            found=" ".join(str(said).split())[:300],
            next_step="check the server or the disk, the name, and who may open it",
        ) from error
