"""Pressing what serves: recommendations against a no-op route of the same application, and one caller alone."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx
import psutil

from serving.bench.harness.load import Load, press
from serving.bench.harness.machine import memory_mb
from serving.command import addresses, running
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.declared import ARMS_FILE, read_arms
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import progress
from tailorbird.settings import Settings

CONNECTIONS = 32
ANSWERS = 20
WARM_SECONDS = 3.0
ARMS_SECONDS = 180.0
QUIET_PERCENT, QUIET_SECONDS = 20.0, 180.0
"""Of all processors, what the machine still does once what starts up has started; how long that is waited for at most."""


def measure(
    settings: Settings,
    people: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    folder: Path,
    store_exposures: bool = True,
) -> dict[str, object]:
    """Press the two routes in turn, ``rounds`` times; medians of each and their ratio."""
    with running(settings, noop=True, store_exposures=store_exposures, result_cache_seconds=0.0):
        _wait_for_arms(settings)
        _check_answers(settings, people)
        noop_url = f"{base_url(settings)}/noop"
        press(noop_url, bodies=(), connections=CONNECTIONS, seconds=WARM_SECONDS, folder=folder)
        pressed(settings, people, seconds=WARM_SECONDS, folder=folder)
        quiet = wait_until_quiet()
        noop, recommend = [], []
        with progress("Measuring", total=rounds) as bar:
            for _ in range(rounds):
                noop.append(
                    press(noop_url, bodies=(), connections=CONNECTIONS, seconds=seconds, folder=folder)
                )
                recommend.append(pressed(settings, people, seconds=seconds, folder=folder))
                bar.advance()
        alone = press(
            f"{base_url(settings)}/v1/recommendations",
            bodies=bodies_of(people),
            connections=1,
            seconds=seconds,
            folder=folder,
        )
        memory = [memory_mb(pid) for pid in replica_pids(settings)]
    ratios = [r.rps / n.rps for n, r in zip(noop, recommend, strict=True)]
    return {
        **figures("noop", noop),
        **figures("recommend", recommend),
        "ratio": statistics.median(r.rps for r in recommend) / statistics.median(n.rps for n in noop),
        "ratios": ratios,
        "one_connection_p50_ms": alone.p50_ms,
        "one_connection_p99_ms": alone.p99_ms,
        "replica_memory_mb": memory,
        "quiet": quiet,
        "errors": sum(load.errors for load in (*noop, *recommend)),
        "rounds": [{"noop": asdict(n), "recommend": asdict(r)} for n, r in zip(noop, recommend, strict=True)],
    }


def pressed(settings: Settings, people: Sequence[str], *, seconds: float, folder: Path) -> Load:
    """Ask for everybody in turn, over many connections."""
    return press(
        f"{base_url(settings)}/v1/recommendations",
        bodies=bodies_of(people),
        connections=CONNECTIONS,
        seconds=seconds,
        folder=folder,
    )


def bodies_of(people: Sequence[str]) -> list[str]:
    """A request of each."""
    return [json.dumps({"userId": person, "numResults": ANSWERS}) for person in people]


def wait_until_quiet(*, seconds: float = QUIET_SECONDS) -> bool:
    """Wait until parts that are ready later than the first answer (a large catalogue takes them long) have come to rest.

    Whether they have within ``seconds``: a machine that others use never does, and its figures say so.
    """
    deadline, calm = time.monotonic() + seconds, 0
    while calm < 2:
        if time.monotonic() > deadline:
            return False
        calm = calm + 1 if psutil.cpu_percent(interval=1.0) < QUIET_PERCENT else 0
    return True


def _check_answers(settings: Settings, people: Sequence[str]) -> None:
    """A fast wrong answer is no result: the model itself must answer, in full."""
    body = {"userId": people[0], "numResults": ANSWERS}
    answer = httpx.post(f"{base_url(settings)}/v1/recommendations", json=body, timeout=30).json()
    if answer["fallback"] or answer["partial"] or len(answer["items"]) != ANSWERS:
        raise TailorbirdError(f"the model does not answer: {answer}", remedy="see the log of the replica")


def _wait_for_arms(settings: Settings) -> None:
    """Wait until every replica holds every declared arm."""
    declared = len(read_arms(settings.folder / ARMS_FILE))
    deadline = time.monotonic() + ARMS_SECONDS
    while time.monotonic() < deadline:
        arms = httpx.get(f"{addresses(settings)['admin']}/v1/arms", timeout=30).json()["arms"]
        held = [sum(each["version"] == arm["version"] for each in arm["replicas"]) for arm in arms]
        if len(held) == declared and min(held) >= settings.replicas:
            return
        time.sleep(0.2)
    raise TailorbirdError(
        f"not every replica holds {declared} arms after {ARMS_SECONDS:.0f} s: {arms}",
        remedy="see the logs of the replicas",
    )


def replica_pids(settings: Settings) -> list[int]:
    """The processes of the replicas on this machine: their names end with it."""
    arms = httpx.get(f"{addresses(settings)['admin']}/v1/arms", timeout=30).json()["arms"]
    return sorted({int(each["replica"].rpartition("-")[2]) for arm in arms for each in arm["replicas"]})


def figures(name: str, loads: Sequence[Load]) -> dict[str, object]:
    """Medians of several runs, named after what was pressed."""
    return {
        f"{name}_{key}": statistics.median(getattr(load, key) for load in loads)
        for key in ("rps", "p50_ms", "p95_ms", "p99_ms")
    }
