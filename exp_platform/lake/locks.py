"""Locks between processes; the system releases them when a process dies."""

from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.errors import StorageError
from exp_platform.lake.files import storage_error

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

LOCK_SECONDS = 300.0


def publish_lock(catalog: Path) -> Path:
    """The lock file of everything that moves pointers or removes files."""
    return catalog.with_name(f"{catalog.name}.lock")


def hold_lock(path: Path, *, seconds: float = LOCK_SECONDS) -> "AcquireReturnProxy":
    """Take a lock, to be used in a `with` statement.

    Raises:
        StorageError: another process keeps it for longer than `seconds`.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path).acquire(timeout=seconds)
    except Timeout as error:
        raise StorageError(
            "another run holds the lock",
            where=str(path),
            found=f"still held after {seconds:.0f} s",
            next_step="wait for the other run, or end it",
        ) from error
    except OSError as error:
        raise storage_error(error, path) from error
