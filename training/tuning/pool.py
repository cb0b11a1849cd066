"""Trials and fits as Ray tasks: the cluster, the board they report to, and the pool that the search talks to."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings
from training.tuning.search import Outcome, TrialReport
from training.tuning.space import Value

Tell = Callable[[int, float], None]
"""Reports (step, value) of a running task; raises :class:`Stopped` where it should end early."""

Work = Callable[[Any, Mapping[str, Value], Tell], Outcome]
"""What a task does with the shared data and its values."""


class Stopped(Exception):  # noqa: N818
    """The search asked this trial to end early."""


class Board:
    """Where running tasks leave their figures and learn that they should stop; an actor on the cluster."""

    def __init__(self) -> None:
        self._news: list[tuple[int, int, float]] = []
        self._stopped: set[int] = set()
        self._nodes: dict[int, str] = {}

    def begin(self, number: int, node: str) -> None:
        """A task has begun on a node."""
        self._nodes[number] = node

    def nodes(self) -> dict[int, str]:
        """Where each task began last."""
        return self._nodes

    def post(self, number: int, step: int, value: float) -> bool:
        """Leave a figure; True where the task should stop."""
        self._news.append((number, step, value))
        return number in self._stopped

    def stop(self, number: int) -> None:
        """Ask a task to stop at its next report."""
        self._stopped.add(number)

    def drain(self) -> list[tuple[int, int, float]]:
        """Take what was left since the last call."""
        news, self._news = self._news, []
        return news


@contextmanager
def cluster(settings: Settings, *, cpus: int) -> Iterator[None]:
    """Join the cluster that the settings name, or start one of ``cpus`` on this machine and end it afterwards."""
    import ray

    terminate = signal.getsignal(signal.SIGTERM)
    if ray.is_initialized():
        raise TailorbirdError("Ray runs in this process already", remedy="call ray.shutdown() first")
    try:
        if settings.ray_address:
            ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _keep_on_this_machine()
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict.fromkeys(THREADS, "1")},
            )
    except Exception as error:  # Ray raises no class of its own where its processes come up too slowly
        raise TailorbirdError(
            f"Ray does not start ({error})",
            remedy="check TAILORBIRD_RAY_ADDRESS, or that the machine has free memory",
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # Ray puts its own in place, which prints a stack
    try:
        yield
    finally:
        ray.shutdown()


def _keep_on_this_machine() -> None:
    """Have Ray and its children listen on the loopback interface, on Linux as elsewhere: a study needs no other machine."""
    from ray._private import ray_constants

    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False  # read at import, which may have been long ago


LOOK_SECONDS = 5.0
"""Between two looks at which machines are still there."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class RayPool:
    """Runs ``work`` once per trial, each on one CPU; the data is put into the cluster's memory once."""

    def __init__(self, work: Work, data: object, *, parallel: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._ray = ray
        self._parallel = parallel
        self._data = data if isinstance(data, ray.ObjectRef) else ray.put(data)
        # With us: a machine that is lost takes its trials along, and never the news of the others.
        self._board: Any = ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
        self._task: Any = ray.remote(num_cpus=1, max_retries=1)(_run)
        self._work = work
        self._running: dict[Any, int] = {}
        self._params: dict[int, dict[str, Value]] = {}
        self._looked, self._again = time.monotonic(), set[int]()
        self._there: dict[int, set[str]] = {}

    def free(self) -> int:
        """How many more trials can start now."""
        return self._parallel - len(self._running)

    def start(self, number: int, params: Mapping[str, Value]) -> None:
        """Submit a trial to the cluster."""
        self._params[number] = dict(params)
        self._submit(number)

    def reports(self) -> list[TrialReport]:
        """New figures from the board."""
        return [TrialReport(*news) for news in self._ray.get(self._board.drain.remote())]

    def stop(self, number: int) -> None:
        """Note on the board that a trial should end; once this returns, its next report hears it."""
        self._ray.get(self._board.stop.remote(number))

    def ended(self) -> list[tuple[int, Outcome]]:
        """Collect finished tasks; a crashed or raising one becomes a FAIL with its reason."""
        if not self._running:
            return []
        lost = self._start_lost_again()
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return lost + [(self._running.pop(future), self._outcome(future)) for future in ready]

    def close(self) -> None:
        """Cancel what still runs."""
        for future in self._running:
            self._ray.cancel(future, force=True)
        self._ray.kill(self._board)

    def _submit(self, number: int) -> None:
        self._there[number] = self._nodes_there()
        future = self._task.remote(self._work, self._data, number, self._params[number], self._board)
        self._running[future] = number

    def _start_lost_again(self) -> list[tuple[int, Outcome]]:
        """Start the trials of machines that are gone once more, elsewhere; those to which that happened before have failed.

        Ray waits for the answer of a machine that was lost without a word for seven minutes.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        there = self._nodes_there()
        nodes = self._ray.get(self._board.nodes.remote())
        failed = []
        for future, number in list(self._running.items()):
            # One that has not said where it is may have been on its way to any machine that was there then.
            if (node := nodes.get(number, "")) in there or (not node and self._there[number] <= there):
                continue
            del self._running[future]
            self._ray.cancel(future, force=True)
            if number in self._again:
                failed.append((number, Outcome("FAIL", reason="its machine was lost, twice")))
            else:
                self._again.add(number)
                self._ray.get(self._board.begin.remote(number, ""))
                self._submit(number)
        return failed

    def _nodes_there(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def _outcome(self, future: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            return Outcome("FAIL", reason=str(error.cause or error).strip().splitlines()[-1])
        except self._ray.exceptions.RayError as error:
            return Outcome("FAIL", reason=str(error).strip().splitlines()[0])
        return outcome


def _run(work: Work, data: Any, number: int, params: Mapping[str, Value], board: Any) -> Outcome:
    """Do one trial's work in a Ray worker."""
    import ray
    import torch

    torch.set_num_threads(1)
    ray.get(board.begin.remote(number, ray.get_runtime_context().get_node_id()))
    last: list[tuple[int, float]] = []

    def tell(step: int, value: float) -> None:
        last.append((step, value))
        if ray.get(board.post.remote(number, step, value)):
            raise Stopped

    try:
        return work(data, params, tell)
    except Stopped:
        return Outcome("PRUNED", curves={"reported": [value for _, value in last]})
