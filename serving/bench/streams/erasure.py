"""``tailorbird bench erasure``: how long it takes to erase one person, and many at once, of an archive of so many events."""

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from serving.bench.harness.machine import machine
from serving.privacy.erasures import open_erasing
from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import USER
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.archive import FILE_ROWS
from tailorbird.streams.factory import open_events, skip_offsets
from tailorbird.streams.position import Position
from tailorbird.streams.sqlite import SqliteStream

SPAN_DAYS = 180
ITEMS = 10_000


@click.command("erasure")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for erasure.json.")
@click.option(
    "--people", default=100_000, show_default=True, type=click.IntRange(10), help="Who did something."
)
@click.option(
    "--events",
    default=10_000_000,
    show_default=True,
    type=click.IntRange(1_000),
    help="Events in the archive.",
)
@click.option(
    "--many", default=1_000, show_default=True, type=click.IntRange(1), help="People erased at once."
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def erasure(out: Path, people: int, events: int, many: int, as_json: bool) -> None:
    r"""Make an archive in a temporary workspace, in which everybody did something every few days, and erase people from it.

    Everybody is in every file, which is the worst there is: all of the archive is written anew. The job is the real one,
    with every place, from the request to the signed receipt. Digests of message ids are not made: an erasure reads none.

    \b
    Examples:
        tailorbird bench erasure --out build/bench
        tailorbird bench erasure --people 10000 --events 1000000 --out build/bench
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-erasure-", dir=out) as folder:
        settings = load_settings(home=folder, mlruns=Path(folder) / "mlruns", workspace="bench")
        made = _make(settings, people=people, events=events)
        size = sum(each.stat().st_size for each in settings.folder.rglob("*.parquet"))
        one = _erase(settings, [f"{USER}person-0"])
        all_of_them = _erase(settings, [f"{USER}person-{1 + n}" for n in range(min(many, people - 1))])
        with open_events(settings) as stream:
            kept = sum(len(batch) for batch in stream.scan(columns=["user_key"]))
    gone = int(one["found"] + all_of_them["found"])
    if kept + gone != events:
        raise TailorbirdError(
            f"{events - kept - gone} events of others are gone", remedy="this is a defect: report it"
        )
    result = {
        "people": people,
        "events": events,
        "archive_mb": round(size / 1e6, 1),
        "made_seconds": round(made, 1),
        "one": one,
        f"{min(many, people - 1)} at once": all_of_them,
        "events_of_others_lost": 0,
        "machine": machine(),
    }
    (out / "erasure.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    emit(result, as_json=as_json)


def _erase(settings: Settings, people: Sequence[str]) -> dict[str, float]:
    """Ask for people one by one, as callers do, and finish; seconds from the first request to the last receipt."""
    say(f"erasing {len(people):,} ...")
    erasing = open_erasing(settings)
    started = time.perf_counter()
    asked = [erasing.ask(person) for person in people]
    accepted = time.perf_counter()
    erasing.run()
    done = time.perf_counter()
    receipts = [erasing.ledger.find(each.id) for each in asked]
    left = sum(left_of(erasing.places, people).values())
    if left or any(each is None or each.state != "done" for each in receipts):
        raise TailorbirdError(f"{left} records are left", remedy="this is a defect: report it")
    return {
        "found": sum(each.found for each in receipts if each is not None),
        "asking_ms_each": round((accepted - started) / len(people) * 1_000, 1),
        "seconds": round(done - accepted, 1),
    }


def _make(settings: Settings, *, people: int, events: int) -> float:
    """Fill the archive file by file; how many seconds that took."""
    open_keyring(settings)  # before anything is stored, as the doors do
    started = time.perf_counter()
    rng = np.random.default_rng(7)
    with open_events(settings) as stream, progress("filling the archive", total=events) as bar:
        if not isinstance(stream, SqliteStream):
            raise TailorbirdError("the engine is not the embedded one", remedy="unset TAILORBIRD_EVENTS")
        for start in range(0, events, FILE_ROWS):
            rows = _rows(start, min(events, start + FILE_ROWS), of=events, people=people, rng=rng)
            stream.archive.append(rows)
            skip_offsets(stream, through=Position({0: start + len(rows)}))
            stream.drop_through(start + len(rows))
            bar.advance(len(rows))
    with closing(open_events(settings)):
        pass
    return time.perf_counter() - started


def _rows(start: int, end: int, *, of: int, people: int, rng: np.random.Generator) -> pa.Table:
    """Events in the order of time, of everybody by turns."""
    size = end - start
    who = rng.integers(0, people, size)
    micros = (1.7e15 + np.arange(start, end) * (SPAN_DAYS * 86_400e6 / of)).astype(np.int64)
    names = [f"person-{n}" for n in who.tolist()]
    kinds = np.array(["view", "view", "view", "click", "add_to_cart", "purchase"], object)
    columns = {
        "message_id": pa.array(
            [
                f"{n:012x}-{int(salt):08x}"
                for n, salt in zip(range(start, end), rng.integers(0, 2**32, size), strict=True)
            ]
        ),
        "type": pa.array(kinds[rng.integers(0, len(kinds), size)]),
        "user_id": pa.array(names),
        "user_key": pa.array([f"{USER}{name}" for name in names]),
        "session_id": pa.array([f"s{n}-{at // 3_600_000_000}" for n, at in zip(who, micros, strict=True)]),
        "item_id": pa.array([f"item-{n}" for n in (ITEMS * rng.power(0.5, size)).astype(int).tolist()]),
        "event_time": pa.array(micros).cast(EVENTS.schema.field("event_time").type),
        "received_time": pa.array(micros + 500_000).cast(EVENTS.schema.field("received_time").type),
        "context": pa.array(['{"device": "mobile"}'] * size),
    }
    arrays = [columns.get(kind.name, pa.nulls(size, kind.type)) for kind in EVENTS.schema]
    place = [pa.array(np.zeros(size), pa.int32()), pa.array(np.arange(start + 1, end + 1), pa.int64())]
    return pa.Table.from_arrays([*place, *arrays], schema=EVENTS.placed_schema)
