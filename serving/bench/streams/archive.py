"""``tailorbird bench archive``: what the archive's table costs, beside plain Parquet in one folder a day."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from tailorbird.events.rows import EVENTS
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.streams.archive import FILE_ROWS, Archive
from tailorbird.streams.codec import PLACE

_DAYS = 365
_PEOPLE_SHARE = 0.02
_LIVE_COMMITS, _LIVE_ROWS = 40, 1_000
_PERSON = "user:u7"


@click.command()
@click.option("--events", default=500_000, show_default=True, type=click.IntRange(10_000), help="Rows.")
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic events.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def archive(events: int, seed: int, as_json: bool) -> None:
    r"""Write, read, look up, delete and join small files, in the archive and in day-partitioned Parquet.

    Both get the same events of a year, then forty small batches as a live shop brings them. Seconds, and megabytes that the
    process grew by at most.

    \b
    Examples:
        tailorbird bench archive
        tailorbird bench archive --events 2000000 --json
    """
    rows = _events(events + _LIVE_COMMITS * _LIVE_ROWS, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        results = []
        for kind in (_Table(Path(scratch) / "table"), _Days(Path(scratch) / "days")):
            say(f"measuring {kind.name}")
            results += _measure(kind, rows, events)
    table(results, title=f"{events:,} events")
    emit({"events": events, "results": results}, as_json=as_json)


class _Table:
    """The archive as streams use it."""

    name = "Delta table"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._archive = Archive(folder, EVENTS, source="bench")

    def append(self, rows: pa.Table) -> None:
        for start in range(0, len(rows), FILE_ROWS):
            self._archive.append(rows.slice(start, FILE_ROWS))

    def read(self, columns: list[str], start: float, end: float) -> Iterator[pa.Table]:
        where = [("event_time", ">=", start), ("event_time", "<", end)]
        yield from self._archive.read(after=0, through=2**62, columns=columns, where=where)

    def find(self, offset: int) -> int:
        return sum(len(part) for part in self._archive.read(after=offset - 1, through=offset))

    def forget(self, person: str) -> int:
        return self._archive.forget(person)

    def join(self) -> int:
        return self._archive.merge()


class _Days:
    """One Parquet file a day and batch, as a careful program writes them without a table format."""

    name = "Parquet by day"

    def __init__(self, folder: Path) -> None:
        self.folder, self._batches = folder, 0
        folder.mkdir()

    def append(self, rows: pa.Table) -> None:
        self._batches += 1
        days = pc.strftime(rows["event_time"], format="%Y-%m-%d")
        for day in pc.unique(days).to_pylist():
            part = self.folder / f"day={day}"
            part.mkdir(exist_ok=True)
            pq.write_table(
                rows.filter(pc.equal(days, day)), part / f"{self._batches:06d}.parquet", compression="zstd"
            )

    def read(self, columns: list[str], start: float, end: float) -> Iterator[pa.Table]:
        time_of = pc.field("event_time")
        wanted = (time_of >= _instant(start)) & (time_of < _instant(end))
        for batch in self._dataset().to_batches(columns=columns, filter=wanted):
            yield pa.Table.from_batches([batch])

    def find(self, offset: int) -> int:
        return len(self._dataset().to_table(filter=pc.field("offset") == offset))

    def forget(self, person: str) -> int:
        gone = 0
        for file in self.folder.rglob("*.parquet"):
            rows = pq.read_table(file, partitioning=None)
            kept = rows.filter(pc.field("user_key") != person)
            if len(kept) < len(rows):
                gone += len(rows) - len(kept)
                staged = file.with_suffix(".tmp")
                pq.write_table(kept, staged, compression="zstd")
                staged.replace(file)  # each file by itself: whoever reads meanwhile sees some of both
        return gone

    def join(self) -> int:
        joined = 0
        for day in self.folder.glob("day=*"):
            files = sorted(day.glob("*.parquet"))
            if len(files) > 1:
                rows = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
                pq.write_table(rows, files[0], compression="zstd")
                for file in files[1:]:  # a reader in between sees rows twice
                    file.unlink()
                joined += len(files)
        return joined

    def _dataset(self) -> ds.Dataset:
        return ds.dataset(self.folder, schema=EVENTS.placed_schema, format="parquet")


def _measure(kind: _Table | _Days, rows: pa.Table, events: int) -> list[dict[str, object]]:
    first, last = (
        pc.min_max(rows["event_time"].cast(pa.int64()))[end].as_py() / 1e6 for end in ("min", "max")
    )
    columns = ["event_time", "user_key", "item_id", "type"]
    month = last - 30 * 86_400
    small = range(events, len(rows), _LIVE_ROWS)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("write", lambda: kind.append(rows.slice(0, events))),
        (
            f"{_LIVE_COMMITS} live batches",
            lambda: [kind.append(rows.slice(at, _LIVE_ROWS)) for at in small],
        ),
        ("read four columns", lambda: sum(map(len, kind.read(columns, first, last + 1)))),
        ("read the last month", lambda: sum(map(len, kind.read(columns, month, last + 1)))),
        ("find one row", lambda: kind.find(events // 2)),
        ("delete one person", lambda: kind.forget(_PERSON)),
        ("join small files", kind.join),
    ]
    results = []
    for name, step in steps:
        with _peak() as peak:
            started = time.perf_counter()
            answer = step()
            seconds = time.perf_counter() - started
        counted = answer if isinstance(answer, int) else ""
        results.append(
            {"what": name, "where": kind.name, "seconds": round(seconds, 3), "MB": peak[0], "rows": counted}
        )
    files = [file for file in kind.folder.rglob("*.parquet") if file.is_file()]
    size = sum(file.stat().st_size for file in kind.folder.rglob("*") if file.is_file())
    results.append(
        {"what": "on disk", "where": kind.name, "seconds": "", "MB": round(size / 1e6, 1), "rows": len(files)}
    )
    shutil.rmtree(kind.folder)
    return results


def _events(count: int, rng: np.random.Generator) -> pa.Table:
    """(count,) synthetic clicks of a year in the order of their time."""
    start = 1_700_000_000_000_000
    times = np.sort(rng.integers(0, _DAYS * 86_400_000_000, count)) + start
    people = rng.integers(0, max(100, int(count * _PEOPLE_SHARE)), count)
    users = [f"u{person}" for person in people]
    instants = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    values = {
        "partition": pa.array(np.zeros(count, np.int32)),
        "offset": pa.array(np.arange(1, count + 1)),
        "message_id": pa.array([f"{word:032x}" for word in rng.integers(0, 2**62, count).tolist()]),
        "type": pa.array(rng.choice(["view", "click", "purchase"], count, p=[0.7, 0.25, 0.05])),
        "user_id": pa.array(users),
        "session_id": pa.array([f"s{number}" for number in rng.integers(0, count // 5, count)]),
        "item_id": pa.array([f"item-{item}" for item in rng.zipf(1.2, count) % 20_000]),
        "event_time": instants,
        "received_time": instants,
        "context": pa.array(['{"device":"mobile"}'] * count),
        "user_key": pa.array([f"user:{user}" for user in users]),
    }
    schema = pa.schema([*PLACE, *EVENTS.schema])
    columns = [values.get(field.name, pa.nulls(count, field.type)).cast(field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _instant(seconds: float) -> pa.Scalar:
    return pa.scalar(round(seconds * 1e6), pa.int64()).cast(pa.timestamp("us", tz="UTC"))


@contextmanager
def _peak() -> Iterator[list[int]]:
    """The megabytes by which the process was larger, at most, than at the beginning."""
    before, done = _resident(), threading.Event()
    found = [0]

    def watch() -> None:
        while not done.wait(0.005):
            found[0] = max(found[0], round((_resident() - before) / 1e6))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
