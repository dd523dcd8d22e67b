"""Ctrl-C in a real process: one line, exit code 130, and nothing published."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

STOPPED = "stopped before the end; run it again\n"
# A test may run in the background, where interrupts are ignored.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
COMMAND = """
import sys
from exp_platform.cli import main
print("ready", flush=True)
main()
"""
PATIENCE = 30


def start(code, *words):
    """A Python process that an interrupt reaches, as it does in a terminal."""
    words = [sys.executable, "-c", HEARS + code, *map(str, words)]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process, patience=PATIENCE):
    try:
        _, err = process.communicate(timeout=patience)
    finally:
        if patience == PATIENCE:
            process.kill()
    return process.returncode, err


def interrupt(process):
    """Once, and again where Python lost it: it does in callbacks of its imports."""
    process.send_signal(signal.SIGINT)
    try:
        return finish(process, patience=10)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return finish(process)


@pytest.mark.end_to_end
def test_an_interrupted_run_says_so_in_one_line_and_publishes_nothing(published):
    """At four moments. Native code that calls Python just then may end the process in
    its own way, which is rare: two of the four must end as they should.
    """
    said = []
    for seconds in (0.2, 0.5, 0.9, 1.3):
        before = published.snapshots()
        process = start(COMMAND, "run", "exp_tiny", "--config", published.config)
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        code, err = interrupt(process)
        said += [err] if code == 130 else []
        assert code == 0 or published.snapshots() == before
    assert len(said) >= 2
    assert set(said) == {STOPPED}


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError('Query interrupted')",
        "ContractError('the data cannot be read as declared')",
        "KeyboardInterrupt()",
        "SystemExit(1)",
    ],
)
def test_whatever_an_interrupt_is_turned_into_it_is_one(error):
    code = f"""
        import os, signal, sys
        from exp_platform.errors import ContractError
        from exp_platform.pipelines.interrupts import end_command

        def action():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise {error}

        sys.exit(end_command(action))
    """
    assert finish(start(textwrap.dedent(code))) == (130, STOPPED)


IN_AN_IMPORT = """
def step(done):
    os.kill(os.getpid(), signal.SIGINT)
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
    done.append("imported")
"""


def test_an_interrupt_waits_until_an_import_holds_no_lock():
    code = f"""
        import os, signal, sys, time
        from exp_platform.pipelines.interrupts import end_command

        space = dict(os=os, signal=signal, time=time)
        where = "<frozen importlib._bootstrap>"
        exec(compile({IN_AN_IMPORT!r}, where, "exec"), space)
        done = []

        def action():
            space["step"](done)
            time.sleep(10)
            done.append("not stopped")

        status = end_command(action)
        assert done == ["imported"], done
        sys.exit(status)
    """
    assert finish(start(textwrap.dedent(code))) == (130, STOPPED)


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("raise ContractError('broken')", 3, "error: broken\n"),
        ("raise SystemExit(5)", 5, ""),
        ("return 7", 7, ""),
        ("return None", 0, ""),
        ("os.kill(os.getpid(), signal.SIGINT)", 0, ""),
    ],
)
def test_without_an_interrupt_a_command_ends_as_it_did(ending, code, told):
    program = f"""
        import os, signal, sys
        from exp_platform.errors import ContractError
        from exp_platform.pipelines.interrupts import end_command

        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def action():
            {ending}

        status = end_command(action)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        sys.exit(status)
    """
    assert finish(start(textwrap.dedent(program))) == (code, told)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
def test_a_query_that_is_interrupted_is_no_broken_input(tmp_path, threads):
    program = """
        import os, signal, sys, threading
        from pathlib import Path
        from exp_platform.lake.engine import Engine
        from exp_platform.lake.settings import LakeSettings
        from exp_platform.pipelines.interrupts import end_command

        folder, threads = Path(sys.argv[1]), int(sys.argv[2])
        engine = Engine(LakeSettings(*[folder] * 4, threads=threads))

        def action():
            try:
                engine.execute("select sum(sqrt(i)) from range(100000000000) t(i)")
            except KeyboardInterrupt:
                assert engine.rows("select 1") == [(1,)]
                engine.close()
                raise

        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        sys.exit(end_command(action))
    """
    process = start(textwrap.dedent(program), tmp_path, threads)
    assert finish(process) == (130, STOPPED)


@pytest.mark.end_to_end
@pytest.mark.parametrize("seconds", [1.0, 2.5])
def test_simulations_side_by_side_stop_too(seconds):
    process = start(COMMAND, "calibrate", "--short")
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    assert interrupt(process) == (130, STOPPED)
