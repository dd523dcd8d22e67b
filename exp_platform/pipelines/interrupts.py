"""How a command ends: its exit code, and one message where it could not go on.

An interrupt (Ctrl-C) reaches the code in many shapes: libraries turn it into errors of
their own, and then it looks like broken data. So the signal itself is remembered.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from exp_platform.errors import ExpPlatformError

INTERRUPTED = 130
_IMPORTING = "<frozen importlib"
_SOON = 0.01
_CAN_WAIT = hasattr(signal, "setitimer")


def end_command(action: Callable[[], int | None]) -> int:
    """Run a command; a broken contract, or an interrupt, becomes one message.

    Args:
        action: the command; it returns its exit code, or none.

    Returns:
        The exit code: the action's, that of the error, or 130 after an interrupt.
    """
    with _Interrupts() as interrupts:
        try:
            return action() or 0
        except BaseException as error:
            is_done = isinstance(error, SystemExit) and not error.code
            if interrupts.has_come(error) and not is_done:
                sys.stderr.write("stopped before the end; run it again\n")
                return INTERRUPTED
            if isinstance(error, ExpPlatformError):
                sys.stderr.write(f"error: {error}\n")
                return error.exit_code
            raise


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let interrupts wait; processes begun meanwhile never get one.

    So helpers say nothing of their own, and none is begun without being known.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Interrupts:
    """Remembers that an interrupt came while it is open."""

    def __init__(self) -> None:
        self._is_asked = False
        self._is_watching = False

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; where somebody else handles or ignores
        # interrupts (nohup, a notebook), that stays.
        is_main = threading.current_thread() is threading.main_thread()
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if is_main and is_default:
            signal.signal(signal.SIGINT, self._note)
            self._is_watching = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def has_come(self, error: BaseException) -> bool:
        """Was there one? From here on a second one changes nothing.

        Args:
            error: what ended the command.
        """
        if self._is_watching:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if _CAN_WAIT:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return self._is_asked or isinstance(error, KeyboardInterrupt)

    def _note(self, _number: int, frame: FrameType | None) -> None:
        self._is_asked = True
        if _CAN_WAIT and frame and frame.f_code.co_filename.startswith(_IMPORTING):
            # raised there it would be lost, or leave the lock of all imports taken
            signal.signal(signal.SIGALRM, self._note)
            signal.setitimer(signal.ITIMER_REAL, _SOON)
            return
        # Not imported here: where it is not loaded, nothing runs in it.
        engine = sys.modules.get("exp_platform.lake.engine")
        if engine is not None:
            engine.interrupt_engines()
        raise KeyboardInterrupt
