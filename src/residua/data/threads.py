"""Work done in threads, in order, and no further ahead of whoever takes its results than is said.

Pillow decodes and numpy gathers outside Python's lock, so threads share the cores without what worker processes
cost: another copy of torch in memory each, shared memory that containers are short of, and scripts that must not be
imported twice.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from residua import machine

Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how much of it is done, and how much there is in all (None where unknown)."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_THREAD = 4  # keeps every thread at work while one of them is at a large image


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None, ahead: int | None = None
) -> Generator[Result, None, None]:
    """Yields what ``work`` makes of each item, in order; whoever stops taking stops the work.

    Args:
        work: Is called in a thread.
        items: Are asked for one at a time, as the work goes on.
        threads: None is one a core.
        ahead: Results made but not yet taken, at most; None is four a thread.
    """
    threads = threads or machine.threads()
    pool, source = ThreadPoolExecutor(threads), iter(items)
    try:
        waiting: deque[Future[Result]] = deque()
        waiting.extend(pool.submit(work, item) for item in islice(source, ahead or _AHEAD_PER_THREAD * threads))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], stage: str, progress: Progress | None = None
) -> list[Result]:
    """Returns what ``work`` makes of each item, in order, one thread a core; an interrupt ends it soon."""
    return list(told(in_order(work, items), stage, len(items), progress))


def told(results: Iterable[Result], stage: str, total: int, progress: Progress | None) -> Iterator[Result]:
    """Yields the results and tells how many of them there were."""
    for done, result in enumerate(results, 1):
        if progress:
            progress(stage, done, total)
        yield result
