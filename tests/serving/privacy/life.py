"""A workspace in which people have lived: every place of it holds something of them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from registry.tracking.runs import Run, Tracker
from serving.privacy.places import HOLDS_NOBODY, places_of
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import open_catalog
from tailorbird.ingest.quarantine import write_quarantine
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.queue import DeliveryQueue
from tests.serving.world import World
from tests.slate import toy

USERS = ("winifred-adder", "barnaby-finch", "cordelia-wren")
"""Names that stand nowhere by chance."""
COOKIES = {"winifred-adder": ("cookie-adder-one", "cookie-adder-two"), "barnaby-finch": ("cookie-finch",)}
PARTED = "cookie-adder-parted"
"""Was joined to the first and parted again: somebody else's."""


def live(world: World) -> Path:
    """Everybody looks around, logs in, is shown things, is told of, evaluated, assigned, notified; twice, around a compaction.

    The folder in which MLflow keeps the tables of their run.
    """
    for turn in ("first", "second"):
        for name in USERS:
            for cookie in COOKIES.get(name, ()):
                _sees(world, f"{turn}-{cookie}", anonymousId=cookie)
                world.post(f"/v1/users/{name}/merge", {"anonymousId": cookie})
            _sees(world, f"{turn}-{name}", userId=name)
            world.post("/v1/recommendations", {"userId": name, "numResults": 3})
            world.post(
                "/v1/recommendations", {"anonymousId": f"just-looking-{USERS.index(name)}", "numResults": 2}
            )
            world.tell(
                world.door.user(Patch.of_user(name, {"age": 40.0, "attributes": {"note": f"{turn} {name}"}}))
            )
        _sees(world, f"{turn}-{PARTED}", anonymousId=PARTED)
        world.post(f"/v1/users/{USERS[0]}/merge", {"anonymousId": PARTED})
        world.call("DELETE", f"/v1/users/{USERS[0]}/merge?anonymousId={PARTED}")
        if turn == "first":
            settle(world)
            store = open_catalog(world.settings)
            store.compact(now=world.clock + 7_200.0)
            store.close()
    settings = world.settings
    world.features.rows.ensure(
        [world.key(f"user:{name}") for name in USERS], np.full(len(USERS), round((world.clock + 10) * 1e6))
    )
    rows = [
        ("events", place, "missing type", orjson.dumps({"userId": name, "value": 3}).decode())
        for place, name in enumerate(USERS)
    ]
    lines = [("events", 90 + place, "no row", f"{name};view;;") for place, name in enumerate(USERS)]
    frame = pd.DataFrame([*rows, *lines], columns=["table", "row", "reason", "raw"])
    write_quarantine([frame], folder=settings.quarantine_folder, now=world.clock, keyring=world.door.keyring)
    (settings.folder / "ingested").mkdir()
    loud = [
        {"kind": "dominant user", "value": 0.1, "message": f"{world.key(f'user:{name}')!r} alone has 10%"}
        for name in USERS
    ]
    (settings.folder / "ingested" / "one.json").write_text(orjson.dumps({"anomalies": loud}).decode())
    (settings.folder / "segments").mkdir()
    keys = [world.key(f"user:{name}") for name in USERS]
    assigned = {
        "user_key": keys,
        "segment": ["a"] * 3,
        "evidence": [1.0] * 3,
        "model": ["1"] * 3,
        "rules": [[]] * 3,
    }
    pq.write_table(pa.table(assigned), settings.folder / "segments" / "assigned.parquet")
    mark = {"version": 1, "position": "", "left": keys, "through": "", "rules": False}
    (settings.folder / "segments" / "assigned.json").write_text(orjson.dumps(mark).decode())
    queue = DeliveryQueue(settings.folder)
    moves = [Delivery(f"move-{key}", "crm", key, orjson.dumps({"userId": key}), world.clock) for key in keys]
    queue.follow(world.log.end(), moves)
    queue.give_up(moves[1], reason="gone", now=world.clock)
    queue.close()
    run = keep_cases(settings, keys)
    settle(world)
    return Path(run.client.get_run(run.run_id).info.artifact_uri.removeprefix("file://"))


def settle(world: World) -> None:
    """Have the exposures stored and both streams compacted, once."""
    import time

    deadline = time.monotonic() + 20
    while world.exposures.waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    compact_stream(world.log)
    compact_stream(world.shown)


def keep_cases(settings: Settings, keys: list[str]) -> Run:
    """A run with the cases of a model, and those of a later evaluation."""
    cases = pd.DataFrame(
        {
            "case": [f"c{n}" for n in range(6)],
            "user_id": keys * 2,
            "target": ["i1"] * 6,
            "rank": [1] * 6,
        }
    )
    with Tracker.open(settings).start("train") as run, tempfile.TemporaryDirectory() as scratch:
        for name, folder in (("cases.parquet", ""), ("later.parquet", "cases")):
            path = Path(scratch) / name
            cases.to_parquet(path, index=False)
            run.file(path, folder)
    return run


def bytes_with(folders: list[Path], word: str, *, leaving: tuple[str, ...] = ()) -> list[str]:
    """The files in which ``word`` stands, as bytes, in decompressed Parquet or in an opened database."""
    return sorted(path for path in _holding(folders, [word.encode()], leaving=leaving, fold=False))


def bytes_holding(folders: list[Path], words: tuple[str, ...]) -> dict[str, list[str]]:
    """The files in which one of ``words`` (small letters) stands, however it is written, and which do."""
    return _holding(folders, [word.encode() for word in words], leaving=(), fold=True)


def _holding(
    folders: list[Path], needles: list[bytes], *, leaving: tuple[str, ...], fold: bool
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(each for folder in folders for each in folder.rglob("*") if each.is_file()):
        if any(part in leaving for part in path.parts):
            continue
        contents = [str(path).encode(), *_read(path)]
        if fold:
            contents = [each.lower() for each in contents]
        held = [needle.decode() for needle in needles if any(needle in each for each in contents)]
        if held:
            found[str(path)] = held
    return found


def _read(path: Path) -> Iterator[bytes]:
    """A file as it lies, and what comes out where it is a table, a database or compressed."""
    import gzip
    import sqlite3

    content = path.read_bytes()
    yield content
    if content[:4] == b"PAR1":
        yield str(pq.read_table(path).to_pylist()).encode()
    elif content[:16] == b"SQLite format 3\0":
        with tempfile.TemporaryDirectory() as scratch:  # whoever opens one that was killed changes its files
            for each in (path, path.with_name(f"{path.name}-wal")):
                if each.exists():
                    shutil.copy(each, scratch)
            connection = sqlite3.connect(Path(scratch) / path.name)
            named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in named.fetchall():
                for row in connection.execute(f'SELECT * FROM "{name}"'):
                    yield from (each if isinstance(each, bytes) else str(each).encode() for each in row)
            connection.close()
    elif content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"\x28\xb5\x2f\xfd":
        yield pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    elif content[:4] == b"PK\x03\x04":
        import zipfile

        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)


def unclaimed(settings: Settings) -> list[str]:
    """Files of a workspace of which no place and no declaration speaks."""
    globs = [glob for place in places_of(settings) for glob in place.claims] + list(HOLDS_NOBODY)
    known = {path for glob in globs for path in settings.folder.glob(glob)}
    known |= {inner for path in known if path.is_dir() for inner in path.rglob("*")}
    return sorted(
        str(path.relative_to(settings.folder))
        for path in settings.folder.rglob("*")
        if path.is_file() and path not in known
    )


def _sees(world: World, message: str, **who: str) -> None:
    at = world.clock
    batch = [{"messageId": f"{message}-{n}", "type": "view", "itemId": f"i{n}", **who} for n in range(3)]
    answer = world.post("/v1/events", {"batch": batch})
    assert answer.status_code == 202, answer.text
    assert at >= toy.NOW
