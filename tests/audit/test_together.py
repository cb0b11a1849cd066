"""Whoever comes while one writes is written by the next, all at once, in the order in which they came."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tailorbird.audit.together import Together
from tests.serving.triggers.subscriber import wait_until


class Slowly:
    """Doubles numbers, once it is let; notes what came at once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()

    def write(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        assert self.free.wait(30)
        if 13 in asked:
            raise OSError("13 is too much")
        return [2 * each for each in asked]


def after_the_first(together: Together[int, int], slowly: Slowly, pool: ThreadPoolExecutor, *others: int):
    """What becomes of 1, and of others that come one by one while it is written."""
    done = [pool.submit(together.result, 1, slowly.write)]
    wait_until(lambda: slowly.batches)
    for each in others:
        before = len(together._waiting)
        done.append(pool.submit(together.result, each, slowly.write))
        wait_until(lambda: len(together._waiting) > before)  # noqa: B023
    slowly.free.set()
    return done


def test_who_comes_meanwhile_shares_one_call_in_order() -> None:
    together, slowly = Together[int, int](), Slowly()
    with ThreadPoolExecutor(8) as pool:
        done = after_the_first(together, slowly, pool, 5, 3, 4, 2)
        assert [each.result() for each in done] == [2, 10, 6, 8, 4]
    assert slowly.batches == [[1], [5, 3, 4, 2]]


def test_a_failure_is_everybodys_of_that_call_and_nobody_elses() -> None:
    together, slowly = Together[int, int](), Slowly()
    with ThreadPoolExecutor(8) as pool:
        first, *others = after_the_first(together, slowly, pool, 5, 13)
        assert first.result() == 2
        for each in others:
            with pytest.raises(OSError, match="too much"):
                each.result()
    assert together.result(4, slowly.write) == 8


@pytest.fixture
def interrupts() -> Iterator[None]:
    """As in a terminal: a shell that starts us with `&` has them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_once(waiting: Callable[[], bool]) -> None:
    """As a keyboard does, once something is so."""
    wait_until(waiting)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.usefixtures("interrupts")
def test_who_is_interrupted_while_it_writes_leaves_it_written_once_and_nobody_waiting() -> None:
    together, slowly = Together[int, int](), Slowly()
    with ThreadPoolExecutor(8) as pool:

        def another() -> int:
            wait_until(lambda: slowly.batches)
            return together.result(5, slowly.write)

        other = pool.submit(another)
        pool.submit(interrupt_once, lambda: len(together._waiting) == 1)
        with pytest.raises(KeyboardInterrupt):
            together.result(1, slowly.write)
        slowly.free.set()
        assert other.result(timeout=20) == 10
    assert slowly.batches == [[1], [5]]


@pytest.mark.usefixtures("interrupts")
def test_who_is_interrupted_while_it_waits_is_not_written_at_all() -> None:
    together, slowly = Together[int, int](), Slowly()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.result, 5, slowly.write)
        wait_until(lambda: slowly.batches)
        pool.submit(interrupt_once, lambda: len(together._waiting) == 1)
        with pytest.raises(KeyboardInterrupt):
            together.result(1, slowly.write)
        slowly.free.set()
        assert first.result(timeout=20) == 10
        assert together.result(4, slowly.write) == 8
    assert slowly.batches == [[5], [4]]
