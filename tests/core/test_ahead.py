"""Results come in order, a bounded number ahead, and an error ends them."""

import threading
import time

import pytest

from synthface.core.ahead import computed_ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_not_far_ahead(threads):
    taken, lock = [], threading.Lock()

    def items():
        for k in range(40):
            with lock:
                taken.append(k)
            yield k

    def slow_first(k):
        time.sleep(0.01 if k % 3 == 0 else 0)
        return k * k

    for n, result in enumerate(computed_ahead(slow_first, items(), threads=threads, ahead=2)):
        assert result == n * n
        assert len(taken) <= n + 1 + threads + 2


def test_several_calls_run_at_once():
    meeting = threading.Barrier(3, timeout=300)
    assert list(computed_ahead(lambda _: meeting.wait() >= 0, range(6), threads=3)) == [True] * 6


def test_an_error_ends_it_and_what_was_not_begun_is_dropped():
    called = []

    def fails_at_two(k):
        called.append(k)
        if k == 2:
            raise ValueError("two")
        return k

    results = []
    with pytest.raises(ValueError, match="two"):
        results.extend(computed_ahead(fails_at_two, range(1000), threads=2))
    assert max(called) < 10
