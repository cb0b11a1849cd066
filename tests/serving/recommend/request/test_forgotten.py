"""Who was erased, as requests know it: a moment old, and never a wait for a database."""

import threading
import time
from collections.abc import Callable

from serving.recommend.cache.memory import RankingCache
from serving.recommend.request.forgotten import Forgotten
from tailorbird.streams.stream import StreamAwayError


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def test_the_list_is_followed_and_holds_while_it_cannot_be_asked() -> None:
    listed, away, asked = [frozenset[str]()], threading.Event(), threading.Semaphore(0)

    def everybody() -> frozenset[str]:
        asked.release()
        if away.is_set():
            raise StreamAwayError("the database is away")
        return listed[0]

    forgotten = Forgotten(everybody, look_seconds=0.005)
    try:
        assert forgotten() == frozenset()
        listed[0] = frozenset({"user:x"})
        until(lambda: forgotten() == {"user:x"})
        assert forgotten() is listed[0]
        away.set()
        listed[0] = frozenset()
        for _ in range(20):
            asked.acquire()
        assert forgotten() == {"user:x"}
        assert (forgotten.thread.alive, forgotten.thread.failures) == (True, 0)
        away.clear()
        until(lambda: forgotten() == frozenset())
        assert len(RankingCache(forgotten=forgotten)) == 0
    finally:
        forgotten.close()
