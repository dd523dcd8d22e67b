"""Start a program that outlives this one, wait until it answers, stop it by its pid."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .places import Places

STOP_SECONDS, KILL_SECONDS = 30, 5


class StackError(Exception):
    """A service that cannot be installed, started or reached; says where to look."""


def is_running(places: Places, service: str) -> bool:
    """Does the process that was started for a service still live?"""
    pid = read_pid(places, service)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return (
        not state.exists() or state.read_text("utf-8").rsplit(")")[-1].split()[0] != "Z"
    )


def start(
    places: Places,
    service: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a service in a session of its own; its output goes to its log."""
    places.logs.mkdir(parents=True, exist_ok=True)
    with (places.logs / f"{service}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    _pid_file(places, service).write_text(str(process.pid), "utf-8")


def stop(places: Places, service: str) -> None:
    """Ask a service to end, and end it when it does not."""
    pid = read_pid(places, service)
    if pid is not None and is_running(places, service):
        os.kill(pid, signal.SIGTERM)
        if not _has_ended(places, service, STOP_SECONDS):
            os.killpg(pid, signal.SIGKILL)
            _has_ended(places, service, KILL_SECONDS)
    _pid_file(places, service).unlink(missing_ok=True)


def _has_ended(places: Places, service: str, seconds: float) -> bool:
    """Wait for the end of a service, so long at most."""
    deadline = time.monotonic() + seconds
    while is_running(places, service):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def wait_until(
    places: Places, service: str, answers: Callable[[], bool], *, seconds: float
) -> None:
    """Wait until a service answers.

    Raises:
        StackError: it ended, or took too long; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        ended = not is_running(places, service)
        if ended or time.monotonic() > deadline:
            log = places.logs / f"{service}.log"
            tail = "\n  ".join(log.read_text("utf-8", "replace").splitlines()[-15:])
            what = "ended" if ended else f"did not answer within {seconds:.0f} s"
            raise StackError(f"{service} {what}; the end of {log}:\n  {tail}")
        time.sleep(0.2)


def read_pid(places: Places, service: str) -> int | None:
    """The pid noted for a service."""
    file = _pid_file(places, service)
    return int(file.read_text("utf-8")) if file.is_file() else None


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end.

    Raises:
        StackError: it is not installed, or failed; with what it said.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as error:
        raise StackError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).strip()[-2000:]
        raise StackError(f"{' '.join(command)}\nfailed:\n{said}") from error
    return done.stdout


def say(text: str) -> None:
    """One line for the person who waits."""
    sys.stderr.write(f"stack: {text}\n")


def _pid_file(places: Places, service: str) -> Path:
    return places.root / f"{service}.pid"
