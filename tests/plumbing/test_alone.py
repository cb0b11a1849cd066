"""One holds a lock file at a time, also where whoever held it deletes it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tailorbird.plumbing.alone import alone, alone_if_free


def test_one_holds_it_and_another_is_told_so(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / ".lock"
    with alone(lock), alone_if_free(lock) as mine:
        assert not mine
    with alone_if_free(lock) as mine:
        assert mine


def test_a_file_that_its_holder_deletes_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    lock, counting = tmp_path / ".lock", threading.Lock()
    inside, most, held = 0, 0, 0

    def hold(times: int) -> None:
        nonlocal inside, most, held
        for _ in range(times):
            with alone_if_free(lock) as mine:
                if mine:
                    with counting:
                        inside, held = inside + 1, held + 1
                        most = max(most, inside)
                    for _ in range(50):  # a while, in which others come
                        lock.exists()
                    with counting:
                        inside -= 1
                    lock.unlink()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(hold, 400) for _ in range(8)]:
            done.result()
    assert held > 8
    assert most == 1
