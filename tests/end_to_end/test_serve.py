"""`exp token` and `exp serve` as a user starts them, in a process of their own."""

import re
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

pytestmark = pytest.mark.end_to_end
STARTUP_SECONDS = 60


@contextmanager
def served(project):
    command = [sys.executable, "-m", "exp_platform.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--config", str(project.config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield read_address(process)
        finally:
            process.terminate()


def read_address(process):
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise TimeoutError("the server did not say where it listens")


def test_a_token_opens_a_served_project(ready):
    made = ready.exp("token", "me")
    assert made.code == 0
    headers = {"Authorization": f"Bearer {made.out.strip()}"}
    with served(ready) as base:
        assert httpx.get(f"{base}/v1/experiments").status_code == 401
        listed = httpx.get(f"{base}/v1/experiments", headers=headers)
        asked = httpx.post(
            f"{base}/v1/experiments/exp_tiny/query",
            json={"metrics": ["conversion"]},
            headers=headers,
            timeout=60,
        )
    assert [row["experiment_id"] for row in listed.json()] == [
        "exp_rollout",
        "exp_tiny",
    ]
    assert {row[1] for row in asked.json()["rows"]} == {"control", "treatment"}
