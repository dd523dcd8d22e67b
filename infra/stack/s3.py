"""An S3 server built from its Go module: versitygw (kept) or MinIO (archived upstream)."""

import urllib.error
import urllib.request
from pathlib import Path

from .places import HOST, Addresses, Places
from .processes import StackError, is_running, run, say, start, wait_until

SERVICE = "s3"
BUCKETS = ("raw", "warehouse")
MODULES = {
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.7.0",
    # the last commit before the repository was archived
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
}


def build(places: Places, server: str) -> Path:
    """The server's program, built on first use."""
    program = places.programs / server
    if not program.is_file():
        say(f"building {server} (minutes, once)")
        places.programs.mkdir(parents=True, exist_ok=True)
        where = {"GOBIN": str(places.programs.resolve()), "GOFLAGS": "-trimpath"}
        run(["go", "install", MODULES[server]], where)
    if not program.is_file():
        raise StackError(f"go install left no {program}")
    return program


def up(places: Places, addresses: Addresses) -> None:
    """Start the server and make the buckets."""
    program = build(places, addresses.s3_server)
    if not is_running(places, SERVICE):
        data = places.data(addresses.s3_server)
        data.mkdir(parents=True, exist_ok=True)
        for bucket in BUCKETS if addresses.s3_server == "versitygw" else ():
            (data / bucket).mkdir(exist_ok=True)
        start(places, SERVICE, *_command(program, data, addresses))
    wait_until(places, SERVICE, lambda: _answers(addresses), seconds=30)
    if addresses.s3_server == "minio":
        _make_buckets(addresses)


def _command(
    program: Path, data: Path, addresses: Addresses
) -> tuple[list[str], dict[str, str]]:
    address = f"{HOST}:{addresses.s3_port}"
    if addresses.s3_server == "versitygw":
        keys = {
            "ROOT_ACCESS_KEY": addresses.user,
            "ROOT_SECRET_KEY": addresses.password,
        }
        return [str(program), "--port", address, "posix", str(data)], keys
    keys = {
        "MINIO_ROOT_USER": addresses.user,
        "MINIO_ROOT_PASSWORD": addresses.password,
        "MINIO_BROWSER": "off",
    }
    return [str(program), "server", str(data), "--address", address], keys


def _answers(addresses: Addresses) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://{HOST}:{addresses.s3_port}/", timeout=2
        ) as answer:
            return bool(answer.status)
    except urllib.error.HTTPError:
        return True  # it answers, and rightly refuses a stranger
    except OSError:
        return False


def _make_buckets(addresses: Addresses) -> None:
    import s3fs

    files = s3fs.S3FileSystem(
        key=addresses.user,
        secret=addresses.password,
        endpoint_url=f"http://{HOST}:{addresses.s3_port}",
    )
    for bucket in BUCKETS:
        if not files.exists(bucket):
            files.mkdir(bucket)
