"""What cannot work says so in time, and leaves the lake as it was."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from exp_platform.errors import StorageError
from exp_platform.lake import open_lake
from exp_platform.lake.areas import ObjectArea
from exp_platform.lake.database import catalog_errors, limit_waiting
from exp_platform.lake.settings import ObjectStore
from exp_platform.lake.store import check_bucket, open_store
from exp_platform.pipelines.doctor import examine_project
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

WITHIN_SECONDS = 30


def refused(shared, name, **changed):
    """The error of a run, and how long it took to come."""
    settings = shared.write(name, **changed)
    began = time.monotonic()
    with pytest.raises(StorageError) as caught:
        run_end_to_end(settings, shared.names[0], RunOptions(generate_synth=True))
    assert time.monotonic() - began < WITHIN_SECONDS
    assert caught.value.parts["next"]
    return str(caught.value)


@pytest.fixture
def unchanged(shared, ran):
    """The experiments' data files; they are the same afterwards."""
    before = shared.files()
    assert ran in shared.names
    assert before["exposures"]
    yield
    assert shared.files() == before


def changed_url(**parts):
    url = make_url(os.environ["EXP_CATALOG_URI"]).set(**parts)
    return url.render_as_string(hide_password=False)


@pytest.mark.usefixtures("unchanged")
def test_wrong_password_of_the_catalog(shared):
    told = refused(shared, "password", catalog=changed_url(password="wrong"))
    assert "the catalog cannot be used" in told
    assert "***" in told
    assert "password authentication failed" in told


@pytest.mark.usefixtures("unchanged")
def test_unreachable_catalog(shared):
    told = refused(shared, "unreachable", catalog=changed_url(port=1))
    assert "the catalog cannot be used" in told


@pytest.mark.usefixtures("unchanged")
def test_missing_bucket(shared):
    told = refused(shared, "bucket", warehouse="s3://no-such-bucket")
    assert "object store" in told
    assert "no-such-bucket" in told


@pytest.mark.usefixtures("unchanged")
def test_wrong_keys_of_the_store(shared, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    told = refused(shared, "keys")
    assert "object store" in told


@pytest.mark.usefixtures("unchanged")
def test_unreachable_store(shared):
    told = refused(shared, "endpoint", endpoint="http://127.0.0.1:1")
    assert "object store" in told


@pytest.mark.usefixtures("unchanged")
def test_catalog_of_another_name(shared, new_database):
    url = new_database()
    with open_lake(shared.write("empty", catalog=url)) as lake:
        lake.states()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into iceberg_tables (catalog_name, table_namespace, table_name,"
                " metadata_location) values ('lake', 'exp', 't', 's3://warehouse/x')"
            )
        )
    engine.dispose()
    told = refused(shared, "other", catalog=url)
    assert "catalog of another name" in told
    assert "lake" in told


@contextmanager
def listening(take):
    """A port whose connections are given to a function and answered nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    take(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture
def silent():
    """A port that keeps its connections, and those that came."""
    asked = []
    with listening(asked.append) as port:
        yield port, asked
    for connection in asked:
        connection.close()


def test_catalog_that_hangs(shared, silent):
    told = refused(
        shared, "hangs", catalog=changed_url(host="127.0.0.1", port=silent[0])
    )
    assert "the catalog cannot be used" in told
    assert "timed out" in told


def test_catalog_that_hangs_later(shared, silent):
    """The lock was taken before; the catalog has connections of its own."""
    database = limit_waiting(create_engine(changed_url(port=silent[0])))
    began = time.monotonic()
    with pytest.raises(StorageError, match="cannot be used"), catalog_errors("here"):
        database.connect()
    assert time.monotonic() - began < WITHIN_SECONDS
    catalog = open_lake(shared.settings())._catalog()
    with catalog.engine.connect() as connection:
        assert connection.connection.dbapi_connection._usock.gettimeout() > 0
    catalog.close()


def test_store_that_hangs_up_is_asked_a_few_times():
    """Of a store that hangs each time takes 20 seconds."""
    asked = []

    def hang_up(connection):
        connection.close()
        asked.append(1)

    with listening(hang_up) as port:
        store = open_store(ObjectStore(f"http://127.0.0.1:{port}"))
        with pytest.raises(StorageError, match="object store"):
            check_bucket(store, "s3://warehouse")
    assert 2 <= len(asked) <= 12


def test_doctor_looks_into_the_buckets(shared, new_database, monkeypatch):
    def state():
        found = {one.what: one for one in examine_project(settings)}
        assert found["tables"].is_well
        return found["store"].is_well, found["store"].found

    settings = shared.write("doctor", catalog=new_database())
    assert state() == (True, "s3://warehouse, s3a://raw")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert state()[0] is False
    monkeypatch.undo()
    settings = shared.write("doctor", catalog=settings.remote.catalog, raw="s3://none")
    is_well, found = state()
    assert not is_well
    assert "s3://none" in found


def test_discard_removes_local_files_though_the_store_fails(tmp_path):
    area = ObjectArea("s3://none", ObjectStore("http://127.0.0.1:1"), tmp_path)
    files = [area.new_file(name) for name in ("sent", "waiting")]
    files[1].path.write_text("rows")
    with pytest.raises(StorageError, match="object store"):
        area.discard(files)
    assert not files[1].path.exists()


def can_mount():
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "t", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


SMALL_DISK = 'mount -t tmpfs -o size={size} tmpfs "$1" && cd "$1" && shift && exec "$@"'
needs_mount = pytest.mark.skipif(
    not can_mount(), reason="needs a mount namespace of one's own"
)


def on_small_disk(size, folder, *command):
    """A command that sees a file system of a few kilobytes in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    script = SMALL_DISK.format(size=size)
    return ["unshare", "-rm", "sh", "-c", script, "sh", str(folder), *map(str, command)]


@needs_mount
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("size", ["4k", "200k"])
def test_full_local_disk(shared, size):
    """Where new files wait to be sent."""
    settings = shared.settings()
    module = "exp_platform.pipelines.run_end_to_end"
    config = ("--config", shared.root / "configs" / "stack.yaml")
    run = (sys.executable, "-m", module, *config, "--experiment-id", shared.names[0])
    words = on_small_disk(size, settings.paths.temp, *run)
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert time.monotonic() - began < WITHIN_SECONDS
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: ")
    assert "full" in done.stderr or "No space" in done.stderr
    assert "Traceback" not in done.stderr


@needs_mount
def test_full_disk_of_the_store(shared, new_database, tmp_path):
    """Another S3 server, whose disk is too small for one experiment."""
    folder = Path(os.environ["EXP_STACK_FOLDER"])
    program = folder / "programs" / "versitygw"
    if not program.is_file():
        pytest.skip("the stack runs another S3 server than versitygw")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    disk = tmp_path / "disk"
    serve = f"mkdir raw warehouse && exec {program} --port {address} posix {disk}"
    keys = {
        "ROOT_ACCESS_KEY": os.environ["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    url = new_database()
    with subprocess.Popen(
        on_small_disk("200k", disk, "sh", "-c", serve),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **keys},
    ) as server:
        try:
            wait_for(address)
            told = refused(shared, "full", catalog=url, endpoint=f"http://{address}")
            assert "object store" in told
            with open_lake(shared.settings("full")) as lake:
                assert lake.states() == {}
        finally:
            server.kill()


def wait_for(address):
    host, port = address.split(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(address)
