"""What cannot work says so in time, and leaves the lake as it was."""

import os
import time

import pytest
from sqlalchemy import create_engine, make_url, text

from exp_platform.errors import StorageError
from exp_platform.lake import open_lake
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
def states(shared, ran):
    """Snapshots of the shared lake; they are the same afterwards."""
    assert ran in shared.names
    lake = open_lake(shared.settings())
    before = lake.states()
    yield
    assert lake.states() == before
    lake.close()


def changed_url(**parts):
    url = make_url(os.environ["EXP_CATALOG_URI"]).set(**parts)
    return url.render_as_string(hide_password=False)


@pytest.mark.usefixtures("states")
def test_wrong_password_of_the_catalog(shared):
    told = refused(shared, "password", catalog=changed_url(password="wrong"))
    assert "the catalog cannot be used" in told
    assert "***" in told
    assert "password authentication failed" in told


@pytest.mark.usefixtures("states")
def test_unreachable_catalog(shared):
    told = refused(shared, "unreachable", catalog=changed_url(port=1))
    assert "the catalog cannot be used" in told


@pytest.mark.usefixtures("states")
def test_missing_bucket(shared):
    told = refused(shared, "bucket", warehouse="s3://no-such-bucket")
    assert "object store" in told
    assert "no-such-bucket" in told


@pytest.mark.usefixtures("states")
def test_wrong_keys_of_the_store(shared, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    told = refused(shared, "keys")
    assert "object store" in told


@pytest.mark.usefixtures("states")
def test_unreachable_store(shared):
    told = refused(shared, "endpoint", endpoint="http://127.0.0.1:1")
    assert "object store" in told


@pytest.mark.usefixtures("states")
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
