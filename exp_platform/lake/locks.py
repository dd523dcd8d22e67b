"""Locks between processes; the system releases them when a process dies."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from exp_platform.errors import StorageError
from exp_platform.lake.files import storage_error

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Engine as Database

LOCK_SECONDS = 300.0
PUBLISH = "publish"
"""The lock of everything that moves pointers or removes files."""


class Locks(Protocol):
    """Named locks of one lake."""

    def hold(
        self, name: str, *, seconds: float = LOCK_SECONDS
    ) -> "AbstractContextManager[None]":
        """Hold a lock for a `with` block.

        Raises:
            StorageError: another process keeps it for longer than `seconds`.
        """

    def close(self) -> None:
        """Let go of what is kept open between locks."""


class FileLocks:
    """Lock files beside a SQLite catalog."""

    def __init__(self, catalog: Path) -> None:
        self._catalog = catalog.absolute()

    @contextmanager
    def hold(self, name: str, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """See `Locks`."""
        from filelock import FileLock, Timeout

        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path).acquire(timeout=seconds)
        except Timeout as error:
            raise _still_held(str(path), seconds) from error
        except OSError as error:
            raise storage_error(error, path) from error
        with held:
            yield

    def close(self) -> None:
        """See `Locks`."""

    def _path(self, name: str) -> Path:
        if name == PUBLISH:
            return self._catalog.with_name(f"{self._catalog.name}.lock")
        return self._catalog.parent / "locks" / f"{name}.lock"


class DatabaseLocks:
    """Advisory locks of the PostgreSQL server that holds the catalog."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    @contextmanager
    def hold(self, name: str, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """See `Locks`; a connection is kept open, and its end frees the lock."""
        from sqlalchemy import text
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random

        from exp_platform.lake.database import catalog_errors

        shown = self._database.url.render_as_string(hide_password=True)
        key = {"key": _lock_key(name)}
        with catalog_errors(shown), self._database.connect() as connection:
            taken = Retrying(
                retry=retry_if_result(lambda is_held: not is_held),
                stop=stop_after_delay(seconds),
                wait=wait_random(0.02, 0.2),
                retry_error_callback=lambda _: False,
            )(connection.scalar, text("select pg_try_advisory_lock(:key)"), key)
            connection.commit()
            if not taken:
                raise _still_held(f"advisory lock {name!r} of {shown}", seconds)
            try:
                yield
            finally:
                connection.execute(text("select pg_advisory_unlock(:key)"), key)
                connection.commit()

    def close(self) -> None:
        """See `Locks`."""
        self._database.dispose()


def _lock_key(name: str) -> int:
    """A signed 64-bit number that all processes derive alike."""
    digest = hashlib.sha256(f"exp_platform {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _still_held(where: str, seconds: float) -> StorageError:
    return StorageError(
        "another run holds the lock",
        where=where,
        found=f"still held after {seconds:.0f} s",
        next_step="wait for the other run, or end it",
    )
