"""``tailorbird bench exposures``: what an exposure costs: bytes in the archive, a share of the answer's work, time to find it."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import click
import numpy as np

from serving.bench.harness.inside import Inside
from serving.bench.harness.machine import machine
from serving.bench.harness.turns import ask
from serving.bench.harness.world import shown_world
from serving.recommend.slate.exposures import Make, NoExposures
from tailorbird.catalog.catalog import Catalog
from tailorbird.exposures.exposure import SAMPLE_SHARE, Exposure
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import compact_stream, open_exposures
from tailorbird.streams.position import BEGINNING
from tailorbird.streams.scan import read_log
from tailorbird.streams.stream import Stream

ROUNDS = 8
FINDS = 200
FLUSHED = 48
"""Exposures of one commit: what a busy replica answers in a twentieth of a second."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for results.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--answers", default=20_000, show_default=True, type=click.IntRange(1_000), help="Answers of 20 items."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def exposures(out: Path, items: int, users: int, answers: int, seed: int, as_json: bool) -> None:
    r"""Answer requests in one process and see what their exposures cost.

    Bytes of the archive an answer of 20 items, a sample of 1 % with every ranker input among them, profiles of random
    moments; the processor's time of storing one against that of answering from live profiles, without HTTP;
    how long it takes to find one by its recommendationId, live and archived.

    \b
    Examples:
        tailorbird bench exposures --out build/bench
        tailorbird bench exposures --out build/bench --items 2000 --answers 5000 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(home=home / "home", mlruns=home / "mlruns", workspace="bench")
        people = shown_world(settings, items=items, users=users, seed=seed)
        result = {**_measured(settings, people, answers=answers, seed=seed), **machine()}
    result |= {"items": items, "users": users, "answers": answers, "seed": seed}
    (out / "results.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'results.json'}")
    emit(result, as_json=as_json)


def _measured(settings: Settings, people: Sequence[str], *, answers: int, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        **_costs(settings, [people[place] for place in rng.integers(0, len(people), answers)]),
        **_sizes(settings, [people[place] for place in rng.integers(0, len(people), answers)], rng),
    }


def _costs(settings: Settings, asked: Sequence[str]) -> dict[str, object]:
    """The processor's time of answers to live profiles, and of what is done for their exposures."""
    stream = open_exposures(load_settings(home=settings.home, workspace="timed"))
    held = _Held(stream)
    inside = Inside(settings)
    service = inside.service(held)
    answering, storing = [], []
    with progress("Timing", total=ROUNDS) as bar:
        for part in np.array_split(np.asarray(asked, object), ROUNDS):
            spent, stored = 0.0, 0.0
            for start in range(0, len(part), FLUSHED):  # in turns, as in a replica
                started = time.thread_time()
                asyncio.run(ask(service, part[start : start + FLUSHED].tolist()))
                between = time.thread_time()
                stream.append([make() for make in held.answers])
                held.answers.clear()
                spent, stored = spent + between - started, stored + time.thread_time() - between
            answering.append(spent / len(part))
            storing.append(stored / len(part))
            bar.advance()
    held.close()
    inside.close()
    stream.close()
    shares = [store / answer for store, answer in zip(storing[1:], answering[1:], strict=True)]
    return {
        "answer_cpu_ms": statistics.median(answering) * 1000,
        "exposure_cpu_ms": statistics.median(storing) * 1000,
        "exposure_share": statistics.median(shares),
        "exposure_shares": shares,
    }


def _sizes(settings: Settings, asked: Sequence[str], rng: np.random.Generator) -> dict[str, object]:
    """Bytes of the archive an answer, and how long one takes to be found before and after it is archived."""
    stream = open_exposures(settings)
    held = _Held(stream)
    inside = Inside(settings)
    service = inside.service(held, profiles=_Moments(settings, rng))
    with progress("Answering", total=ROUNDS) as bar:
        for part in np.array_split(np.asarray(asked, object), ROUNDS):
            asyncio.run(ask(service, part.tolist()))
            stream.append([make() for make in held.answers])
            held.answers.clear()
            bar.advance()
    held.close()
    inside.close()
    ids = [entry.record.recommendation_id for entry in stream.read(BEGINNING, limit=len(asked)).entries]
    looked = [ids[place] for place in rng.integers(0, len(ids), FINDS)]
    live = _finding(stream, looked)
    compact_stream(stream)
    archived = _finding(stream, looked[:10])
    size = _size((settings.folder / "archive" / "exposures").rglob("*.parquet"))
    stream.close()
    return {
        "archive_bytes_per_answer": size / len(ids),
        "sample_share": SAMPLE_SHARE,
        "find_live_ms": live,
        "find_archived_ms": archived,
    }


class _Held(NoExposures):
    """Holds what is put, so that storing it can be timed by itself."""

    def __init__(self, stream: Stream[Exposure]) -> None:
        super().__init__(stream)
        self.answers: list[Make] = []

    def put(self, make: Make, *, size: int = 0) -> None:
        """Hold it."""
        self.answers.append(make)


class _Moments:
    """Profiles of random moments of the past: two answers to one person are hardly ever the same."""

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        events = read_log(settings)
        self._profiles = ReplayProfiles.of_frame(events, Catalog.read_with_history(settings.catalog_folder))
        times = events["event_time"]
        self._span, self._rng = (times.min().timestamp(), times.max().timestamp()), rng

    def online_read(self, user_keys: Sequence[str]) -> list[UserState]:
        """The profiles as they once were."""
        return self._profiles.states_at(user_keys, self._rng.uniform(*self._span, len(user_keys)))


def _finding(stream: Stream[Exposure], ids: Sequence[str]) -> float:
    """Milliseconds to find an exposure, the median."""
    took = []
    for identity in ids:
        started = time.perf_counter()
        assert stream.find(identity) is not None
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):  # SQLite's side files come and go
            total += path.stat().st_size
    return total
