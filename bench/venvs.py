"""Virtual environments for contenders that do not fit beside our own packages."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def prepare_venv(folder: Path, packages: Sequence[str], module: str) -> str:
    """Make one with these packages; why not, "" when it is there.

    Args:
        folder: of the environment.
        packages: as pip names them.
        module: that must be importable.
    """
    python = folder / "bin" / "python"
    probe = [str(python), "-c", f"import {module}"]
    if python.exists():
        found = subprocess.run(probe, check=False, capture_output=True)
        if found.returncode == 0:
            return ""
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *packages],
        probe,
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            words = done.stderr.strip().splitlines()[-1:] or ["no message"]
            return f"`{' '.join(step[1:])}` failed: {words[0][:160]}"
    return ""
