"""What other people put into the bucket of raw files."""

from pathlib import Path

import pytest

from exp_platform.errors import ContractError
from exp_platform.lake.rawstore import RawStore


class Bucket:
    """A store that lists and gives these objects."""

    def __init__(self, *names):
        self.names = list(names)

    def find(self, where):
        return [name for name in self.names if f"s3://{name}".startswith(where)]

    def get_file(self, location, path):
        assert location.removeprefix("s3://") in self.names
        with Path(path).open("xb") as file:
            file.write(b"rows")


def test_fetch_passes_over_the_markers_of_folders(tmp_path):
    day = "raw/events/event_date=2026-01-05"
    bucket = Bucket("raw/events/", f"{day}/", f"{day}/part-0.parquet")
    RawStore("s3://raw", bucket, tmp_path).fetch(tmp_path / "events")
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert found == [tmp_path / "events/event_date=2026-01-05/part-0.parquet"]


def test_fetch_of_markers_alone_finds_nothing(tmp_path):
    with pytest.raises(ContractError, match="raw data is missing"):
        RawStore("s3://raw", Bucket("raw/a/"), tmp_path).fetch(tmp_path / "a")


def test_fetch_refuses_a_name_that_leads_elsewhere(tmp_path):
    bucket = Bucket("raw/a/outcomes.parquet", "raw/a/../../notes.txt")
    local = tmp_path / "local"
    with pytest.raises(ContractError, match="leads out"):
        RawStore("s3://raw", bucket, local).fetch(local / "a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
