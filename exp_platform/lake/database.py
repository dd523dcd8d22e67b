"""The catalog's database: its errors in our words, its URL without the password."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from exp_platform.errors import StorageError


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
    except DBAPIError as error:
        raise StorageError(
            "the catalog cannot be used",
            where=where,
            found=" ".join(str(error.orig).split())[:300],
            next_step="check the server or the disk, the name, and who may open it",
        ) from error
