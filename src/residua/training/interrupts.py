"""Ctrl-C while a run trains: the step under way is finished first."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import final


@final
@dataclass
class StopRequest:
    """Says whether the user has asked to stop."""

    asked: bool = False


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Turns the first Ctrl-C into a request; a second one interrupts at once, as Python does.

    Outside the main thread, where signals cannot be caught, the request stays False.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        request.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
