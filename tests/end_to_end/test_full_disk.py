"""A disk that fills up is a storage error, and every table stays as it was."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SCRIPT = Path(__file__).with_name("full_disk.py")
JOB = (sys.executable, "-m", "exp_platform.pipelines.run_end_to_end")


def can_mount():
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "t", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of one's own")
def test_full_file_system_is_an_error_and_changes_nothing(project):
    data = project.root / "data"
    data.mkdir()
    mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" "$3" "$4"'
    words = ["unshare", "-rm", "sh", "-c", mount, "sh", data, sys.executable]
    done = subprocess.run(
        [*words, SCRIPT, project.root],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert (answer["first"], answer["again"]) == ([0, ""], [0, ""])
    codes = []
    for kilobytes, code, message, is_same in answer["trials"]:
        if code:
            assert code == 4, (kilobytes, message)
            assert is_same or "tables are published" in message, kilobytes
            assert message.startswith("error: "), kilobytes
            assert "Traceback" not in message
            assert "full" in message or "No space" in message, (kilobytes, message)
        codes.append(code)
    assert codes[0] == 4


@pytest.mark.parametrize("limit", [1_000, 12_000, 40_000])
def test_file_that_may_not_grow_is_an_error_and_changes_nothing(project, limit):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    before = project.snapshots()
    words = (*JOB, "--config", project.config, "--experiment-id", "exp_tiny")
    done = subprocess.run(
        [*map(str, words), "--generate-synth"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert project.snapshots() != before
        return
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: ")
    is_published = "the tables are published" in done.stderr
    assert (project.snapshots() == before) is not is_published
    assert project.job("exp_tiny", "--generate-synth").code == 0
