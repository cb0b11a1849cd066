"""``tailorbird bench cache``: what the result cache saves or costs, as more of the requests come again."""

import json
import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from serving.bench.faults.redis import Server
from serving.bench.harness.load import Load, press, tool
from serving.bench.harness.machine import machine
from serving.bench.harness.measure import ANSWERS, CONNECTIONS, WARM_SECONDS, replica_pids, wait_until_quiet
from serving.bench.harness.world import shown_world
from serving.cluster import free_ports
from serving.command import running
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings

REPEATS = (0.0, 0.5, 0.9)
"""Shares of the requests that were asked a moment ago."""
AGO = (40, 120)
"""How many requests ago: later than all that are under way, sooner than a cache forgets."""
MOST_RPS = 6_000
"""Requests are made for this many a second: none comes again that is not meant to."""
CACHE_SECONDS = 60.0
QUIET_SECONDS = 20.0
"""Ratios and processor time do not need a quiet machine, only one on which all has started."""


@dataclass(frozen=True)
class Figures:
    """What one cache did at one share of repeats: medians of the rounds; ``hits`` is the share that came from it."""

    cache: str
    repeats: float
    rps: float
    of_noop: float
    p50_ms: float
    alone_p50_ms: float
    cpu_ms: float
    """Processor time of the replicas and of Redis for an answer: it hardly knows of what else the machine does."""
    hits: float


class Run(NamedTuple):
    """One run at one share of repeats."""

    load: Load
    of_noop: float
    cpu_ms: float
    hits: float


class Requests:
    """Endless requests, none like another but those that are meant to repeat one."""

    def __init__(self, people: Sequence[str], *, seed: int) -> None:
        self._people, self._random, self._made = people, random.Random(seed), 0

    def bodies(self, count: int, *, repeats: float) -> list[str]:
        """The next ``count`` of them."""
        found: list[str] = []
        for place in range(count):
            if place >= AGO[1] and self._random.random() < repeats:
                found.append(found[place - self._random.randint(*AGO)])
            else:
                found.append(self._new())
        return found

    def _new(self) -> str:
        self._made += 1
        person = self._people[self._made % len(self._people)]
        return json.dumps({"userId": person, "numResults": ANSWERS, "scenario": f"bench-{self._made}"})


@click.command("cache")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for cache.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; the median counts."
)
@click.option(
    "--seconds", default=4.0, show_default=True, type=click.FloatRange(1.0), help="Length of one run."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the world and of what is asked.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def cache(out: Path, items: int, users: int, rounds: int, seconds: float, seed: int, as_json: bool) -> None:
    r"""Press recommendations without a result cache, with one in memory, with one in Redis, and without one again.

    Two replicas, distinct requests of which 0, 50 and 90 % come again 40 to 120 requests later. `of_noop` is the ratio to
    the no-op route of the same application, pressed in turn; `cpu_ms` the processor time of an answer, Redis' own included.
    Both compare caches whatever else the machine does. Redis is left out where `redis-server` is not on the path.

    \b
    Examples:
        tailorbird bench cache --out build/bench
        tailorbird bench cache --out build/bench --rounds 5 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0], replicas=2
        )
        people = shown_world(settings, items=items, users=users, seed=seed)
        requests = Requests(people, seed=seed)
        found: list[Figures] = []
        with _redis(home) as server:
            for name in ("off", "memory", *(["redis"] if server else []), "off again"):
                there = server if name == "redis" else None
                found += _measured(
                    settings.model_copy(update={"result_cache": there.url if there else "memory"}),
                    requests,
                    name=name,
                    rounds=rounds,
                    seconds=seconds,
                    folder=home,
                    others=[there.process.pid] if there and there.process else [],
                )
    rows = [_rounded(each) for each in found]
    result = {
        "figures": rows,
        **machine(),
        "tool": tool(),
        "connections": CONNECTIONS,
        "items": items,
        "seed": seed,
    }
    (out / "cache.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    table(rows, title="What the result cache saves or costs")
    say(f"wrote {out / 'cache.json'}")
    emit(result if as_json else {"figures": rows}, as_json=as_json)


def _rounded(figures: Figures) -> dict[str, Any]:
    return {
        key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(figures).items()
    }


@contextmanager
def _redis(folder: Path) -> Iterator[Server | None]:
    """A Redis of our own; None where there is no program."""
    if shutil.which("redis-server") is None:
        yield None
        return
    server = Server(folder, free_ports(1)[0])
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _measured(
    settings: Settings,
    requests: Requests,
    *,
    name: str,
    rounds: int,
    seconds: float,
    folder: Path,
    others: Sequence[int],
) -> list[Figures]:
    held = CACHE_SECONDS if not name.startswith("off") else 0.0
    url, nothing = f"{base_url(settings)}/v1/recommendations", f"{base_url(settings)}/noop"

    def pressed(repeats: float, *, connections: int = CONNECTIONS, length: float = seconds) -> Load:
        bodies = requests.bodies(round(MOST_RPS * length), repeats=repeats)
        return press(url, bodies=bodies, connections=connections, seconds=length, folder=folder)

    runs: dict[float, list[Run]] = {repeats: [] for repeats in REPEATS}
    with running(settings, noop=True, result_cache_seconds=held):
        press(nothing, bodies=(), connections=CONNECTIONS, seconds=WARM_SECONDS, folder=folder)
        pressed(0.0, length=WARM_SECONDS)
        wait_until_quiet(seconds=QUIET_SECONDS)
        pids = [*replica_pids(settings), *others]
        with progress(f"Measuring: {name}", total=rounds) as bar:
            for _ in range(rounds):
                for repeats in REPEATS:
                    noop = press(nothing, bodies=(), connections=CONNECTIONS, seconds=seconds, folder=folder)
                    before, busy = _looked(settings), _busy(pids)
                    load = pressed(repeats)
                    answers, hits = np.subtract(_looked(settings), before)
                    cpu_ms = 1_000 * (_busy(pids) - busy) / answers
                    runs[repeats].append(Run(load, load.rps / noop.rps, cpu_ms, hits / answers))
                bar.advance()
        alone = {repeats: pressed(repeats, connections=1) for repeats in REPEATS}
    return [
        Figures(
            cache=name,
            repeats=repeats,
            rps=statistics.median(run.load.rps for run in runs[repeats]),
            of_noop=statistics.median(run.of_noop for run in runs[repeats]),
            p50_ms=statistics.median(run.load.p50_ms for run in runs[repeats]),
            alone_p50_ms=alone[repeats].p50_ms,
            cpu_ms=statistics.median(run.cpu_ms for run in runs[repeats]),
            hits=statistics.median(run.hits for run in runs[repeats]),
        )
        for repeats in REPEATS
    ]


def _busy(pids: Sequence[int]) -> float:
    """Seconds of processor time that the processes have taken."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in times))


def _looked(settings: Settings) -> tuple[float, float]:
    """Answers that all replicas made, and those that came from a cache."""
    text = httpx.get(f"{base_url(settings)}/metrics", timeout=30).text
    totals = {"tailorbird_answers": 0.0, "tailorbird_cache_hits": 0.0}
    for family in text_string_to_metric_families(text):
        if family.name in totals:
            totals[family.name] += sum(each.value for each in family.samples if each.name.endswith("_total"))
    return totals["tailorbird_answers"], totals["tailorbird_cache_hits"]
