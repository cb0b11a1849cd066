"""A thread that others live by goes on after its errors, and says when it does not."""

import threading

import pytest

from serving.lasting import LastingThread, dead


def test_an_error_is_followed_by_another_run():
    runs, done = [], threading.Event()

    def work():
        runs.append(1)
        if len(runs) < 3:
            raise OSError("disk is away")
        done.set()

    thread = LastingThread(work, name="worker", pause_seconds=0.001)
    assert done.wait(10)
    thread.join(10)
    assert (len(runs), thread.failures, dead([thread])) == (3, 2, [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_ended_is_dead():
    def work():
        raise SystemExit

    thread = LastingThread(work, name="worker")
    thread.join(10)
    assert dead([thread]) == ["worker"]
