"""What a REST server may answer to a commit; a server that can is in tests/stack."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake.areas import LocalArea
from exp_platform.lake.catalog import CommitConflict, StagedTable
from exp_platform.lake.rest import RestLakeCatalog
from exp_platform.lake.settings import ObjectStore, RemoteLake
from exp_platform.lake.tables import new_metadata
from exp_platform.schemas import load_schema

DROPPED = 0
"""The server hangs up in place of an answer."""
METADATA = new_metadata(load_schema("decisions"), "s3://w/exp/decisions")


class Server(ThreadingHTTPServer):
    status = 404
    seconds = 0.0

    def handle_error(self, *_: object) -> None:
        """A client that does not wait hangs up."""

    @property
    def remote(self) -> RemoteLake:
        address = f"http://127.0.0.1:{self.server_port}"
        return RemoteLake(address, "s3://w", "s3://r", ObjectStore())


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(self.server.seconds)
        if "/tables/" in self.path:
            error = {"message": "no", "type": "NoSuchTableException", "code": 404}
            self.answer(404, {"error": error})
            return
        self.answer(200, {"defaults": {}, "overrides": {}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == DROPPED:
            return
        self.answer(self.server.status, {"error": {"message": "not today"}})

    def answer(self, status: int, document: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answers) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (404, StorageError, "cannot commit several tables as one, so nothing"),
        (405, StorageError, "cannot commit several tables as one, so nothing"),
        (409, CommitConflict, "another writer changed a table"),
        (400, StorageError, "refused a commit"),
        (503, StorageError, "refused a commit"),
        (500, StorageError, "did not say whether a commit happened"),
        (504, StorageError, "did not say whether a commit happened"),
    ],
)
def test_commit_staged_tells_what_the_server_said(
    server, tmp_path, status, error, words
):
    server.status = status
    catalog = RestLakeCatalog(server.remote, LocalArea(tmp_path))
    with pytest.raises(error, match=words):
        catalog.commit_staged([])
    catalog.close()


@pytest.mark.parametrize(
    ("status", "may_have_happened"), [(500, True), (DROPPED, True), (400, False)]
)
def test_any_current_believes_in_a_commit_whose_end_was_not_told(
    server, tmp_path, status, may_have_happened
):
    """Files of such a commit must stay: readers may need them a moment later."""
    server.status = status
    catalog = RestLakeCatalog(server.remote, LocalArea(tmp_path))
    staged = [StagedTable("decisions", None, METADATA, "")]
    with pytest.raises(StorageError) as raised:
        catalog.commit_staged(staged)
    assert ("files stay" in str(raised.value)) == may_have_happened
    assert catalog.any_current(staged) == may_have_happened
    catalog.close()


def test_server_that_does_not_answer_is_named(server, tmp_path):
    remote = server.remote
    server.server_close()
    with pytest.raises(StorageError, match="REST catalog cannot be used") as raised:
        RestLakeCatalog(remote, LocalArea(tmp_path))
    assert remote.catalog in str(raised.value)


def test_server_that_hangs_is_told_in_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr("exp_platform.lake.rest._WAIT_ELSE", (1.0, 0.1))
    server.seconds = 1.0
    with pytest.raises(StorageError, match="REST catalog cannot be used") as raised:
        RestLakeCatalog(server.remote, LocalArea(tmp_path))
    assert "timed out" in str(raised.value)


@pytest.mark.parametrize("token", ["secret\n", "se cret", "secrét"])
def test_token_that_cannot_be_sent_is_not_shown(server, tmp_path, monkeypatch, token):
    monkeypatch.setenv("EXP_CATALOG_TOKEN", token)
    with pytest.raises(UsageError, match="EXP_CATALOG_TOKEN") as raised:
        RestLakeCatalog(server.remote, LocalArea(tmp_path))
    assert token.strip() not in str(raised.value)
