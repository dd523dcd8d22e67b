"""An S3-compatible store: how it is opened, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exp_platform.errors import StorageError
from exp_platform.lake.settings import ObjectStore


def open_store(store: ObjectStore) -> Any:
    """An S3-compatible store as an fsspec file system, path style, no cached listings.

    Raises:
        StorageError: the extra `stack` is not installed.
    """
    try:
        import s3fs
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{error.name} is not installed",
            next_step="pip install 'exp-platform[stack]'",
        ) from error
    files = s3fs.S3FileSystem(
        endpoint_url=store.endpoint or None,
        client_kwargs={"region_name": store.region},
        config_kwargs={
            "s3": {"addressing_style": "path"},
            "connect_timeout": 5,
            "read_timeout": 20,
            "retries": {"max_attempts": 2},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    # times botocore's own attempts: a store that hangs took five minutes for one request
    files.retries = 2
    return files


def check_bucket(files: Any, location: str) -> None:
    """Ask for one object of a location; it may have none yet.

    Raises:
        StorageError: there is no such bucket, or the store refuses.
    """
    bucket, _, prefix = location.partition("://")[2].partition("/")
    with store_errors(location):
        files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)


@contextmanager
def store_errors(location: str) -> Iterator[None]:
    """What the store refused, in our words; a missing object stays what it is.

    Raises:
        StorageError: the store cannot be reached, or refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except FileNotFoundError as error:
        if "bucket" in str(error).lower():
            raise _refused(error, location) from error
        raise
    except (BotoCoreError, ClientError, OSError) as error:
        raise _refused(error, location) from error


def _refused(error: Exception, location: str) -> StorageError:
    return StorageError(
        "the object store cannot be used",
        where=location,
        found=" ".join(str(error).split())[:300] or type(error).__name__,
        next_step="check the endpoint, the region, the bucket and the keys in the "
        "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    )
