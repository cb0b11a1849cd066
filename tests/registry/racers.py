"""Processes for tests of what several do at once, forked from one that has imported MLflow already."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "registry.promotion.aliases",
        "registry.versions.versions",
        "mlflow",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
    ]
)


def run_alone(target: Callable[..., object], *arguments: object) -> int:
    """Run ``target`` in a process of its own; its exit code."""
    process = _context.Process(target=target, args=arguments)
    process.start()
    _end([process])
    return int(process.exitcode or 0)


def race(target: Callable[..., object], each: Sequence[object], *shared: object) -> list[Any]:
    """Run ``target(one, *shared, start)`` in a process for each, which calls ``start()`` when ready; what they returned."""
    barrier, said = _context.Barrier(len(each)), _context.SimpleQueue()
    processes = [
        _context.Process(target=_run, args=(target, place, one, shared, barrier, said))
        for place, one in enumerate(each)
    ]
    for process in processes:
        process.start()
    _end(processes)
    assert [process.exitcode for process in processes] == [0] * len(each)
    return [answer for _, answer in sorted(said.get() for _ in each)]


def _run(
    target: Callable[..., object], place: int, one: object, shared: Sequence[object], barrier: Any, said: Any
) -> None:
    said.put((place, target(one, *shared, lambda: barrier.wait(timeout=120))))


def _end(processes: Sequence[ForkServerProcess]) -> None:
    for process in processes:
        process.join(timeout=240)
        if process.is_alive():
            process.kill()
            process.join()
