"""Ctrl-C and SIGTERM while a run trains: the step under way is finished first, an evaluation is not."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import final

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
@dataclass
class StopRequest:
    """Says whether somebody has asked to stop, and how."""

    signal: int | None = None
    """SIGINT, of Ctrl-C, or SIGTERM, of a scheduler that wants the machine back."""
    cuts: bool = False
    """Whether it ends at once what is under way, by KeyboardInterrupt."""

    @property
    def asked(self) -> bool:
        """Says whether somebody has."""
        return self.signal is not None

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Lets a request raise KeyboardInterrupt, whatever its signal, within: for work that changes nothing.

        Raises:
            KeyboardInterrupt: At once where somebody has asked before.
        """
        self.cuts = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self.cuts = False

    def wait(self, seconds: float) -> None:
        """Returns as soon as somebody has asked, or when the seconds are over."""
        until = time.monotonic() + seconds
        while not self.asked and time.monotonic() < until:
            time.sleep(0.01)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second Ctrl-C stops at once.

    A second SIGTERM changes nothing: who ends a group of processes sends it to each, and so does their launcher.
    Outside the main thread, where signals cannot be caught, the request stays empty.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if request.cuts:
            raise KeyboardInterrupt

    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
