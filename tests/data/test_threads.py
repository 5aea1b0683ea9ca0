import threading
import time

import pytest

from residua.data.threads import in_order, told


def test_results_come_in_the_order_of_their_items_whoever_is_done_first():
    def late(i: int) -> int:
        time.sleep(0.02 if i % 3 == 0 else 0)
        return i * i

    assert list(in_order(late, range(12), threads=3)) == [i * i for i in range(12)]


def test_work_is_no_further_ahead_than_is_said():
    begun: list[int] = []
    results = in_order(begun.append, range(100), threads=1, ahead=2)
    for taken in range(1, 5):
        next(results)
        time.sleep(0.02)
        assert len(begun) <= taken + 2


def test_whoever_stops_taking_stops_the_work():
    begun: list[int] = []
    results = in_order(begun.append, range(100), threads=1, ahead=2)
    next(results)
    results.close()
    assert len(begun) <= 3
    assert not any("ThreadPoolExecutor" in thread.name for thread in threading.enumerate())


def test_an_error_comes_in_the_place_of_its_result():
    results = in_order(lambda i: 1 // i, (2, 1, 0, 1), threads=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_progress_is_told_after_each_result():
    seen: list[tuple[str, int, int | None]] = []
    assert list(told("ab", "reading", 2, lambda *row: seen.append(row))) == ["a", "b"]
    assert seen == [("reading", 1, 2), ("reading", 2, 2)]
