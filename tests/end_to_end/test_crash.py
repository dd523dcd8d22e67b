"""kill -9 at the storage events of a run or a refresh: a reader never sees a mix.

Every one of a run's events, not a choice: `EXP_CRASH_EVERY=1 pytest -s` on this file.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SCRIPT = Path(__file__).with_name("crash_trials.py")
PARTS = 2
SCENARIO = """\
environment: test
engine: {{memory_limit: 512MB, threads: 1}}
experiments:
  exp_crash:
    days: 4
    n_users: {users}
    base_conversion: 0.3
    pre_period_days: 3
    plan: {{min_units_per_arm: 20}}
    failure_modes: {{duplicate_share: 0.05}}
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_kill_at_each_event_leaves_the_old_run_or_the_new_one(
    project, record_property, part
):
    for name, users in (("old", 150), ("new", 120)):
        file = project.root / "configs" / f"{name}.yaml"
        file.write_text(SCENARIO.format(users=users), "utf-8")
    every = ["--every"] if os.environ.get("EXP_CRASH_EVERY") else []
    done = subprocess.run(
        [sys.executable, SCRIPT, project.root, str(part), str(PARTS), *every],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    names, trials = answer["events"], answer["trials"]
    counts = Counter(trial["found"] for trial in trials)
    summary = (
        f"N = {len(names)} events of a clean run ({dict(Counter(names))}), "
        f"{len(trials)} killed: {dict(counts)}, "
        f"raw files {dict(Counter(trial['raw'] for trial in trials))}"
    )
    record_property("crash", summary)
    sys.stdout.write(summary)
    assert answer["differ"]
    assert {"fsync", "rename", "create", "before commit", "after commit"} <= set(names)
    for trial in trials:
        assert trial["status"] == -signal.SIGKILL, trial
        assert trial["found"] in {"old", "new"}, trial
        assert trial["raw"] in {"whole", "reported"}, trial
        assert (trial["rerun"], trial["after"]) == (0, "new"), trial
        assert trial["after_raw"] == "whole", trial
    commit = names.index("before commit") + 1
    for trial in trials:
        assert (trial["found"] == "new") == (trial["event"] > commit), trial


N_REFRESHES = 4


def test_kill_of_a_refresh_leaves_the_last_whole_one(project):
    """At random events and around the commit; the next refresh equals a full pass."""
    assert project.job("exp_tiny", "--generate-synth").code == 0
    assert project.exp("refresh", "exp_tiny").code == 0
    script = SCRIPT.with_name("refresh_trials.py")
    done = subprocess.run(
        [sys.executable, script, project.root, str(N_REFRESHES), "4"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    trials = json.loads(done.stdout)
    assert len(trials) == N_REFRESHES
    for trial in trials:
        is_published = trial["name"] == "after commit"
        assert trial["status"] == -signal.SIGKILL, trial
        assert trial["is_old"] != is_published, trial
        assert (trial["is_whole"], trial["published"]) == ("True", int(is_published))
        assert trial["again"] == 0, (trial, done.stderr[-2000:])
        end = trial["end"]
        assert end["full_reason"] is None, trial
        # what the killed one published is not read again
        assert (end["n_files_read"] == 0) == is_published, trial
        assert end["differences"] == [], trial
        assert end["n_totals"] > 0, trial
