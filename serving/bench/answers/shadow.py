"""``tailorbird bench shadow``: what a shadow that answers beside costs those who ask, in this process, by turns with and without it."""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np
import torch

from serving.bench.harness.inside import Inside
from serving.bench.harness.machine import machine
from serving.bench.harness.world import shown_world
from serving.http.front import Request
from serving.lasting import give_way_often
from serving.recommend.slate.exposures import ExposureWriter
from serving.recommend.slate.service import RecommendService
from serving.recommend.slate.shadows import Shadows
from tailorbird.experiments.deciding.told import told_of
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.followed import FollowedLedger
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.shadow.tallies import Tallies
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_exposures

ANSWERS = 20
KEY = "beside"
SAID: dict[str, Any] = {
    "hypothesis": "a shadow costs nobody time",
    "kind": "shadow",
    "variants": {"usual": {}, "varied": {"slate": {"max_category_share": 0.3}}},
}
PERCENTILES = (50, 95, 99)
WITHOUT, AGAIN, WITH = "without", "again", "with"
"""Kinds of rounds; ``again`` is without a shadow too: by as much rounds differ anyway."""


@click.command("shadow")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for shadow.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--rate",
    default=100.0,
    show_default=True,
    type=click.FloatRange(1.0),
    help="Requests a second on average; they come at random.",
)
@click.option(
    "--rounds",
    default=9,
    show_default=True,
    type=click.IntRange(1),
    help="Rounds of each kind; medians count.",
)
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.2), help="Length of a round."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def shadow(
    out: Path, items: int, users: int, rate: float, rounds: int, seconds: float, seed: int, as_json: bool
) -> None:
    r"""Ask for recommendations, rounds without a shadow, again without, and with one that is offered every answer, in random order.

    The time of a request is from when it was due. Live profiles, 200 candidates ranked, 20 answered, exposures written, no HTTP. Ratios are
    of rounds of the same turn, to those without.

    \b
    Examples:
        tailorbird bench shadow --out build/bench
        tailorbird bench shadow --out build/bench --items 1000 --users 200 --rounds 2 --seconds 1 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(home=home / "home", mlruns=home / "mlruns", workspace="bench")
        people = shown_world(settings, items=items, users=users, seed=seed)
        result = _measured(settings, people, rate=rate, rounds=rounds, seconds=seconds, seed=seed)
    result |= {
        "items": items,
        "users": users,
        "rate": rate,
        "rounds": rounds,
        "seconds": seconds,
        **machine(),
    }
    (out / "shadow.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'shadow.json'}")
    emit(result, as_json=as_json)


def _measured(
    settings: Settings, people: Sequence[str], *, rate: float, rounds: int, seconds: float, seed: int
) -> dict[str, object]:
    give_way_often()  # this and the next two as a replica does
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(seed)
    Ledger(settings.folder).start(experiment_of(KEY, SAID, where=KEY), SAID, at=time.time(), who="bench")
    inside = Inside(settings, running=FollowedLedger(settings.folder))
    stream = open_exposures(settings)
    writer = ExposureWriter(stream)
    shadows = Shadows(inside.arms, Tallies(settings.folder))

    kinds = {
        WITHOUT: inside.service(writer),
        AGAIN: inside.service(writer),
        WITH: inside.service(writer, answered=shadows.offer),
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in kinds}

    def once(name: str) -> np.ndarray:
        asked = [people[place] for place in rng.integers(0, len(people), max(1, int(rate * seconds)))]
        due = np.cumsum(rng.exponential(1 / rate, len(asked)))
        return asyncio.run(_by_the_clock(kinds[name], asked, due))

    once(WITHOUT)  # what is compiled is compiled by now
    with progress("Asking", total=len(kinds) * rounds) as bar:
        for _ in range(rounds):
            for name in rng.permutation(list(kinds)).tolist():
                found[name].append(np.percentile(once(name), PERCENTILES))
                bar.advance()
    shadows.close()
    told = told_of(settings, KEY).shown
    for each in (inside, writer, stream):
        each.close()
    return {
        **{
            f"{name}_p{share}_ms": round(statistics.median(each[at] for each in taken), 3)
            for name, taken in found.items()
            for at, share in enumerate(PERCENTILES)
        },
        **{
            f"{name}_ratio_p{share}": round(
                statistics.median(
                    float(one[at] / other[at]) for one, other in zip(found[name], found[WITHOUT], strict=True)
                ),
                3,
            )
            for name in (AGAIN, WITH)
            for at, share in enumerate(PERCENTILES)
        },
        "answered_too": told["asked"],
        "dropped": told["dropped"],
        "overlap": told["overlap"]["value"],
    }


async def _by_the_clock(service: RecommendService, people: Sequence[str], due: np.ndarray) -> np.ndarray:
    """(n,) milliseconds from when each request was ``due`` (n,), seconds from now, until it was answered."""
    started = time.perf_counter()

    async def one(person: str, at: float) -> float:
        await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
        body = json.dumps({"userId": person, "numResults": ANSWERS}).encode()
        await service.recommend(Request(body))
        return (time.perf_counter() - started - at) * 1_000

    return np.array(await asyncio.gather(*map(one, people, due.tolist())))
