"""Local files: locations, fsync, removal and hashes."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from exp_platform.errors import StorageError

_FSYNC_THREADS = 8


def local_path(location: str) -> Path:
    """The path behind `file:///a/b`, `file:/a/b` or `/a/b`."""
    return Path(urlsplit(location).path if location.startswith("file:") else location)


def location_of(path: Path) -> str:
    """The URI under which every engine finds a local file."""
    return f"file://{path.absolute()}"


def sync_files(paths: Iterable[Path]) -> None:
    """Force files and the folders that name them to the disk."""
    from concurrent.futures import ThreadPoolExecutor

    files = list(dict.fromkeys(paths))
    folders = dict.fromkeys(path.parent for path in files)
    with ThreadPoolExecutor(_FSYNC_THREADS) as pool:
        list(pool.map(_sync, files))
        list(pool.map(_sync, folders))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files; one that is already gone is fine."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """What the operating system refused, in our words."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return StorageError(
        "the disk is full" if is_full else "a file cannot be read or written",
        where=str(error.filename or path),
        found=error.strerror or str(error),
        next_step="free space" if is_full else "check the folder and its permissions",
    )


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """What the operating system refused, in our words.

    Raises:
        StorageError: it did.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


@contextlib.contextmanager
def metadata_errors(location: str) -> Iterator[None]:
    """What is wrong with a file of Iceberg's metadata, in our words.

    Raises:
        StorageError: it is missing, cannot be opened, or is damaged.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise _unusable("missing", location) from error
    except OSError as error:
        raise storage_error(error, location) from error
    except (ValueError, SystemError) as error:
        # a decoder of compiled code says SystemError of bytes that make no sense
        found = " ".join(str(error).split())[:200] or type(error).__name__
        raise _unusable("damaged", location, found) from error


def _unusable(state: str, location: str, found: str = "") -> StorageError:
    return StorageError(
        f"a table's metadata file is {state}",
        where=location,
        found=found,
        next_step="restore the warehouse folder, or remove it and the catalog file "
        "together",
    )
