"""What a run is doing right now, on a terminal only."""

import sys
from typing import Any


class Progress:
    """A status line on stderr; silent when stderr is not a terminal.

    Args:
        title: what is being run.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._status: Any = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(title)
            self._status.start()

    def say(self, step: str) -> None:
        """Name the step that begins now."""
        if self._status is not None:
            self._status.update(f"{self._title}: {step}")

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
