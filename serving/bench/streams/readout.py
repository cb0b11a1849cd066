"""``tailorbird bench readout``: how long the readout of a test takes over so many archived events, and in how much memory."""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.bench.harness.machine import machine, own_peak_mb
from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import USER
from tailorbird.experiments.measuring.declared import chosen, default_metrics
from tailorbird.experiments.measuring.streams import PERSON, sources_of
from tailorbird.experiments.measuring.table import Asked, unit_table
from tailorbird.experiments.reading.readout import Design, read_out
from tailorbird.exposures.rows import EXPOSURES
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.archive import FILE_ROWS
from tailorbird.streams.factory import open_events, open_exposures, skip_offsets
from tailorbird.streams.position import Position
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Stream

KEY, VARIANTS = "bench", ("a", "b", "c")
DAYS, EVENTS_EACH, SLATE = 28, 20, 10
"""Two weeks before the test and two within it; what one person does in them; items of a slate."""
ITEMS = 10_000
BEGIN = 1_700_000_000
METRICS = [
    "conversion",
    "revenue_per_person",
    "clicks_per_slate",
    "slate_click_rate",
    "conversion_of_shown",
    "add_to_cart",
    "hides",
    "session_minutes",
    "bounce_rate",
    "active_days",
]

Make = Callable[..., pa.Table]


@click.command("readout")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for readout.json.")
@click.option(
    "--events",
    "sizes",
    default=[100_000, 1_000_000, 10_000_000],
    show_default=True,
    multiple=True,
    type=click.IntRange(10_000),
    help="Events in the archive. May be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def readout(out: Path, sizes: tuple[int, ...], as_json: bool) -> None:
    r"""Read ten metrics of three variants out of archives that are made for it, each size in a process of its own.

    Everybody has twenty events in four weeks, and one slate of ten items for every ten events; the test is the second half,
    the first is what CUPED uses. Seconds from the first byte read to the last comparison, those of the processors, and the
    megabytes of the process.

    \b
    Examples:
        tailorbird bench readout --out build/bench
        tailorbird bench readout --events 100000 --out build/bench --json
    """
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for events in sizes:
        with tempfile.TemporaryDirectory(prefix="tailorbird-readout-", dir=out) as folder:
            settings = load_settings(home=folder, mlruns=Path(folder) / "mlruns", workspace="bench")
            _fill(settings, events=events)
            say(f"reading {events:,} events ...")
            results.append(_apart(settings, events))
    table(results, title="10 metrics, 3 variants")
    found = {"results": results, "machine": machine()}
    (out / "readout.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    emit(found, as_json=as_json)


def _apart(settings: Settings, events: int) -> dict[str, Any]:
    """Read in a process of its own, so that its memory is the reading's alone."""
    context = multiprocessing.get_context("spawn")
    answers, asked = context.Pipe(duplex=False)
    process = context.Process(target=_read, args=(settings.model_dump(mode="json"), events, asked))
    process.start()
    asked.close()
    try:
        found: dict[str, Any] = answers.recv()
    except EOFError as error:
        raise TailorbirdError(
            "the readout ended without an answer", remedy="its message stands above"
        ) from error
    finally:
        process.join()
    return found


def _read(values: dict[str, Any], events: int, answer: Any) -> None:
    settings, before = Settings(**values), own_peak_mb()
    started, worked = time.perf_counter(), time.process_time()
    half = BEGIN + DAYS * 43_200
    metrics = tuple(chosen(default_metrics(), METRICS))
    asked = Asked(KEY, VARIANTS, metrics, start=half, end=BEGIN + DAYS * 86_400.0)
    found = unit_table(asked, sources_of(settings, unit=PERSON))
    measured = time.perf_counter()
    read = read_out(found.units, found.metrics, Design("a", dict.fromkeys(VARIANTS, 1.0)))
    done = time.perf_counter()
    answer.send(
        {
            "events": events,
            "units": len(found.cohort),
            "comparisons": sum(len(each.rows) - 1 for each in read.metrics),
            "measuring s": round(measured - started, 1),
            "comparing s": round(done - measured, 1),
            "readout s": round(done - started, 1),
            "processor s": round(time.process_time() - worked, 1),
            "peak MB": round(own_peak_mb()),
            "of these before reading": round(before),
        }
    )


def _fill(settings: Settings, *, events: int) -> None:
    open_keyring(settings)
    rng = np.random.default_rng(7)
    people = events // EVENTS_EACH
    slates = events // SLATE
    with progress(f"making {events:,} events", total=events + slates) as bar:
        made: list[tuple[Stream[Any], int, Make]] = [
            (open_exposures(settings), slates, _slates),
            (open_events(settings), events, _deeds),
        ]
        for stream, count, make in made:
            with stream:
                _append(stream, count, partial(make, of=count, people=people, rng=rng), bar.advance)


def _append(stream: Stream[Any], count: int, make: Make, advance: Callable[[int], object]) -> None:
    if not isinstance(stream, SqliteStream):
        raise TailorbirdError("the engine is not the embedded one", remedy="unset TAILORBIRD_EVENTS")
    for start in range(0, count, FILE_ROWS):
        rows = make(start, min(count, start + FILE_ROWS))
        stream.archive.append(rows)
        skip_offsets(stream, through=Position({0: start + len(rows)}))
        stream.drop_through(start + len(rows))
        advance(len(rows))


def _slates(start: int, end: int, *, of: int, people: int, rng: np.random.Generator) -> pa.Table:
    """Slates in the order of time; in the second half each person's has a variant."""
    size = end - start
    who, micros = rng.integers(0, people, size), _instants(start, end, of)
    shown = pa.array([f"item-{n}" for n in range(ITEMS)])
    items = shown.take(pa.array(rng.integers(0, ITEMS, size * SLATE)))
    said = pa.array([f'{{"{KEY}":"{name}"}}' for name in VARIANTS] + [None])
    variant = np.where(np.arange(start, end) < of // 2, len(VARIANTS), who % len(VARIANTS))
    ends = pa.array(np.arange(size + 1) * SLATE, pa.int32())
    columns = {
        "recommendation_id": _named("r", np.arange(start, end)),
        "instant": _times(micros),
        "scored_at": _times(micros),
        "user_key": _named(f"{USER}person-", who),
        "session_id": _named("s", _sessions(who, micros)),
        "scenario": pa.array(["home"] * size),
        "items": pa.ListArray.from_arrays(ends, items),
        "fallback": pa.array(["", "popular"]).take(pa.array((rng.random(size) < 0.02).astype(int))),
        "experiments": said.take(pa.array(variant)),
        "took_ms": pa.array(rng.gamma(2, 3, size), pa.float32()),
        "context": pa.array(['{"device":"mobile"}', '{"device":"desktop"}']).take(pa.array(who % 2)),
    }
    return _placed(columns, EXPOSURES.placed_schema, start=start, size=size)


def _deeds(start: int, end: int, *, of: int, people: int, rng: np.random.Generator) -> pa.Table:
    """Events in the order of time; a click of four names a slate of about then."""
    size = end - start
    who, micros = rng.integers(0, people, size), _instants(start, end, of)
    kinds = pa.array(["view", "view", "view", "click", "add_to_cart", "purchase", "hide"])
    kind = rng.integers(0, len(kinds), size)
    slate = np.arange(start, end) // SLATE
    named = (kind == 3) & (rng.random(size) < 0.25)
    columns = {
        "message_id": _named("m", np.arange(start, end)),
        "type": kinds.take(pa.array(kind)),
        "user_key": _named(f"{USER}person-", who),
        "session_id": _named("s", _sessions(who, micros)),
        "item_id": _named("item-", (ITEMS * rng.power(0.5, size)).astype(int)),
        "recommendation_id": pc.if_else(pa.array(named), _named("r", slate), pa.nulls(size, pa.string())),
        "value": pa.array(rng.gamma(2, 10, size)),
        "event_time": _times(micros),
        "received_time": _times(micros + 500_000),
    }
    return _placed(columns, EVENTS.placed_schema, start=start, size=size)


def _instants(start: int, end: int, of: int) -> np.ndarray:
    return (BEGIN * 1e6 + np.arange(start, end) * (DAYS * 86_400e6 / of)).astype(np.int64)


def _sessions(who: np.ndarray, micros: np.ndarray) -> np.ndarray:
    return who * 10_000 + micros // 3_600_000_000 % 10_000


def _named(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _times(micros: np.ndarray) -> pa.Array:
    return pa.array(micros).cast(EVENTS.schema.field("event_time").type)


def _placed(columns: dict[str, Any], schema: pa.Schema, *, start: int, size: int) -> pa.Table:
    place = [
        pa.array(np.zeros(size), pa.int32()),
        pa.array(np.arange(start + 1, start + size + 1), pa.int64()),
    ]
    arrays = [columns[kind.name] if kind.name in columns else _empty(kind, size) for kind in schema][
        len(place) :
    ]
    return pa.Table.from_arrays([*place, *arrays], schema=schema)


def _empty(kind: pa.Field, size: int) -> pa.Array:
    if kind.nullable:
        return pa.nulls(size, kind.type)
    if pa.types.is_list(kind.type):
        return pa.ListArray.from_arrays(
            pa.array(np.zeros(size + 1, np.int32)), pa.array([], kind.type.value_type)
        )
    return pa.array([{pa.string(): "", pa.bool_(): False}.get(kind.type, 0)] * size, kind.type)
