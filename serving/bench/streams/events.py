"""``tailorbird bench events``: durable events a second over HTTP, and whether the next answer knows of an event."""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click
import orjson

from serving.bench.harness.callers import Ask, Callers, Line
from serving.bench.harness.machine import machine
from serving.bench.harness.world import shown_world
from serving.cluster import free_ports
from serving.command import running
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events

BATCH = 50
WARM_SECONDS = 3.0
READERS_AT_ONCE = 8
KNOWN_SECONDS = 10.0
"""How long an answer may go on showing what its person hid."""


@dataclass
class Sent:
    """What callers sent and what they were told."""

    accepted: int = 0
    delayed: int = 0
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, *, people: list[str], items: int, prefix: str) -> Ask:
        """The next batch, of people and items in turn."""
        first = next(self.numbers) * BATCH
        batch = [
            {
                "messageId": f"{prefix}-{n}",
                "type": "view",
                "userId": people[n * 31 % len(people)],
                "sessionId": f"s{n % 97}",
                "itemId": f"item-{n * 7919 % items}",
                "context": {"device": "mobile"},
            }
            for n in range(first, first + BATCH)
        ]
        return Ask("/v1/events", orjson.dumps({"batch": batch}), self.answered)

    def answered(self, status: int, body: bytes) -> None:
        """Count what was acknowledged."""
        if status == 202:
            answer = orjson.loads(body)
            self.accepted += answer["accepted"]
            self.delayed += bool(answer["profileDelayed"])


@click.command("events")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for events.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who act.")
@click.option("--callers", default=16, show_default=True, type=click.IntRange(1), help="Batches at a time.")
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(1.0), help="Length of the run."
)
@click.option(
    "--readers", default=1_000, show_default=True, type=click.IntRange(1), help="Times an answer is checked."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def events(
    out: Path, items: int, users: int, callers: int, seconds: float, readers: int, seed: int, as_json: bool
) -> None:
    r"""Send batches of 50 events, count what is acknowledged, and check that it is there, once.

    Then, for many people in turn: ask, hide the first item of the answer, ask again at once. The item must be gone, whichever
    replica took the event and whichever answers. `changed_p95_ms` is the time from sending that event to an answer without the item.

    \b
    Examples:
        tailorbird bench events --out build/bench
        tailorbird bench events --out build/bench --callers 32 --seconds 30 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0]
        )
        people = shown_world(settings, items=items, users=users, seed=seed)
        with running(settings):
            with progress("Sending events"):
                figures = press_events(settings, people, items=items, callers=callers, seconds=seconds)
            with progress("Reading what was written", total=readers) as bar:
                figures |= read_your_writes(settings, times=readers, on_reader=bar.advance)
    result = {**figures, **machine(), "batch": BATCH, "callers": callers, "items": items, "users": users}
    (out / "events.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    table([figures], title="Durable events over HTTP")
    say(f"wrote {out / 'events.json'}")
    emit(result if as_json else figures, as_json=as_json)


def press_events(
    settings: Settings, people: list[str], *, items: int, callers: int, seconds: float
) -> dict[str, object]:
    """Send batches for ``seconds``; the rate, the latencies and whether every acknowledged event is in the log once."""
    before = _stored(settings)
    warm, sent = Sent(), Sent()
    with Callers(
        base_url(settings), count=callers, ask=lambda _: warm.ask(people=people, items=items, prefix="warm")
    ):
        time.sleep(WARM_SECONDS)
    started = time.monotonic()
    with Callers(
        base_url(settings), count=callers, ask=lambda _: sent.ask(people=people, items=items, prefix="bench")
    ) as pressed:
        time.sleep(seconds)
    took = max(call.ended for call in pressed.calls) - started
    stored = _stored(settings) - before
    waits = sorted((call.ended - call.started) * 1000 for call in pressed.calls)
    return {
        "events_per_second": round(sent.accepted / took, 1),
        "batches": len(pressed.calls),
        "failed": sum(not call.good for call in pressed.calls),
        "p50_ms": round(waits[len(waits) // 2], 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)], 1),
        "acknowledged": warm.accepted + sent.accepted,
        "stored": stored,
        "profiles_delayed": sent.delayed,
    }


def _stored(settings: Settings) -> int:
    with open_events(settings) as log:
        return sum(log.end().offsets.values())


def read_your_writes(
    settings: Settings, *, times: int, on_reader: Callable[[], object] = lambda: None
) -> dict[str, object]:
    """Hide the first item of an answer and ask again until it is gone, ``times`` times.

    How often the first answer after the 202 lacked it, and the milliseconds from sending the event to the answer without it.
    """
    numbers = iter(range(times))
    found: list[Reflected] = []
    where = urlsplit(base_url(settings))

    async def reader() -> None:
        line = Line(str(where.hostname), int(where.port or 80))
        for n in numbers:
            found.append(await _hidden(line, f"reader-{n}"))
            on_reader()
        line.close()

    async def all_readers() -> None:
        await asyncio.gather(*[reader() for _ in range(READERS_AT_ONCE)])

    asyncio.run(all_readers())
    waits = sorted(each.after_ms for each in found)
    return {
        "reflected": sum(each.at_once for each in found),
        "asked": len(found),
        "changed_p50_ms": round(waits[len(waits) // 2], 1),
        "changed_p95_ms": round(waits[int(len(waits) * 0.95)], 1),
        "changed_most_ms": round(waits[-1], 1),
    }


@dataclass(frozen=True)
class Reflected:
    """Whether the first answer knew of an event, and how long after its sending one did (infinite: none)."""

    at_once: bool
    after_ms: float


async def _hidden(line: Line, person: str) -> Reflected:
    ask = orjson.dumps({"userId": person, "numResults": 5})
    _, before = await line.send("/v1/recommendations", ask)
    hidden = orjson.loads(before)["items"][0]["itemId"]
    event = {"messageId": f"hide-{person}", "type": "hide", "userId": person, "itemId": hidden}
    sent = time.perf_counter()
    status, told = await line.send("/v1/events", orjson.dumps({"batch": [event]}))
    at_once = status == 202 and not orjson.loads(told)["profileDelayed"]
    while time.perf_counter() - sent < KNOWN_SECONDS:
        _, after = await line.send("/v1/recommendations", ask)
        if hidden not in [item["itemId"] for item in orjson.loads(after)["items"]]:
            return Reflected(at_once, (time.perf_counter() - sent) * 1_000)
        at_once = False
    return Reflected(False, float("inf"))
