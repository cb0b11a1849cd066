"""``tailorbird bench sealing``: what it costs that records lie in Kafka under their persons' own keys, beside plain ones by turns."""

import itertools
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from serving.bench.harness.machine import machine
from tailorbird.errors import UsageError
from tailorbird.events.schema import Event
from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.master import encoded
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.topic import Topic

SMALL, LARGE = 50, 2_000
"""Events of a batch: as a page's come over HTTP, and as a file is ingested."""
LARGE_EVERY = 4
"""So many small batches to one large one: its events are many more."""
MACHINES = 5
"""Machines that come later, and take in all of the topic."""
_SHOWN = ("batch_of_50_cost", "batch_of_2000_cost", "follow_cost", "plain_bytes", "sealed_bytes")


@click.command("sealing")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for sealing.json.")
@click.option("--users", default=5_000, show_default=True, type=click.IntRange(50), help="People who act.")
@click.option("--blocks", default=60, show_default=True, type=click.IntRange(3), help="Batches of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def sealing(out: Path, users: int, blocks: int, as_json: bool) -> None:
    r"""Append events to Kafka and follow them on another machine, sealed and plain by turns; medians of the blocks.

    The brokers and the database of people are those of the settings; both get a workspace of the benchmark's own, which is left
    there. Events pass the door before: its cost is that of `bench privacy`.

    \b
    Examples:
        export TAILORBIRD_EVENTS=kafka://127.0.0.1:9092/ TAILORBIRD_PEOPLE=postgresql://127.0.0.1/people
        tailorbird bench sealing --out build/bench
        tailorbird bench sealing --out build/bench --users 500 --blocks 5
    """
    chosen = load_settings()
    if not chosen.events.startswith("kafka://") or not chosen.people:
        raise UsageError(
            "this compares records in Kafka under keys of people that machines share, and the settings name none",
            remedy="set TAILORBIRD_EVENTS=kafka://… and TAILORBIRD_PEOPLE=postgresql://…",
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        kept = {"workspace": f"bench-{uuid.uuid4().hex[:8]}", "master_key": encoded(new_key())}

        def at(name: str, people: str) -> Settings:
            workspace = f"{kept['workspace']}-{'sealed' if people else 'plain'}"
            return load_settings(
                **{**kept, "home": Path(scratch) / name, "workspace": workspace, "people": people}
            )

        result = measured(at, chosen.people, users=users, blocks=blocks)
    result |= {**machine(), "users": users, "blocks": blocks}
    (out / "sealing.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'sealing.json'}")
    emit(result if as_json else {name: result[name] for name in _SHOWN}, as_json=as_json)


def measured(at: Callable[[str, str], Settings], people: str, *, users: int, blocks: int) -> dict[str, Any]:
    """Microseconds an event, plain and sealed, and what share is added; bytes of a record in the topic."""
    plain, sealed = at("one", ""), at("one", people)
    open_keyring(plain)
    appended: dict[int, list[tuple[float, float]]] = {SMALL: [], LARGE: []}
    numbers, turns = itertools.count(), itertools.count()
    with closing(Door.of(sealed)) as door, open_events(plain) as first, open_events(sealed) as second:
        for stream in (first, second):
            stream.append(_events(door, numbers, SMALL, users=users))  # topics are made, brokers met
        for block in range(blocks):
            sizes = (SMALL, LARGE) if block % LARGE_EVERY == 0 else (SMALL,)
            for size in sizes:
                batch = _events(door, numbers, size, users=users)
                streams = [first, second] if next(turns) % 2 == 0 else [second, first]
                took = {stream is second: _seconds(partial(stream.append, batch)) for stream in streams}
                appended[size].append((took[False] / size, took[True] / size))
    followed = [
        (_follow(at(f"new-{turn}", "")), _follow(at(f"new-{turn}", people))) for turn in range(MACHINES)
    ]
    found: dict[str, Any] = {}
    for name, pairs in (
        (f"batch_of_{SMALL}", appended[SMALL]),
        (f"batch_of_{LARGE}", appended[LARGE]),
        ("follow", followed),
    ):
        found |= {
            f"{name}_plain_us": statistics.median(one for one, _ in pairs) * 1e6,
            f"{name}_sealed_us": statistics.median(other for _, other in pairs) * 1e6,
            f"{name}_cost": statistics.median(other / one - 1 for one, other in pairs),
        }
    return found | {"plain_bytes": _bytes(plain), "sealed_bytes": _bytes(sealed)}


def _events(door: Door, numbers: Iterator[int], count: int, *, users: int) -> Sequence[Event]:
    now = time.time()
    return door.events(
        [
            Event(
                message_id=f"m{n}",
                type="view",
                event_time=now,
                received_time=now,
                user_id=f"user-{n * 31 % users}",
                session_id=f"s{n % 97}",
                item_id=f"item-{n * 7919 % 10_000}",
                context={"device": "mobile"},
            )
            for n in itertools.islice(numbers, count)
        ]
    )


def _follow(settings: Settings) -> float:
    """Seconds a record in which a machine that was not there before takes all of them in."""
    with open_events(settings) as stream:
        started = time.perf_counter()
        end = stream.end()
        took = time.perf_counter() - started
    return took / sum(offset + 1 for offset in end.offsets.values())


def _bytes(settings: Settings) -> float:
    """Bytes of the values in the topic, a record."""
    address = KafkaAddress.parse(settings.events, password=settings.events_password)
    topic = Topic(address.topic(settings.workspace, "events"), address)
    try:
        starts, ends = topic.starts(), topic.ends()
        through: Mapping[int, int] = {part: end - 1 for part, end in ends.items() if end > starts[part]}
        sizes = [
            len(message.value or b"")
            for page in topic.pages({part: starts[part] for part in through}, through)
            for messages in page.messages.values()
            for message in messages
        ]
    finally:
        topic.close()
    return statistics.mean(sizes)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
