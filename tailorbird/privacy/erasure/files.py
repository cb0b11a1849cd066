"""Files that name people: the file of everybody's segment, the quarantine, the reports of ingests."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tailorbird.ingest.quarantine import quarantine_lock, read_quarantine
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.disk import fsync
from tailorbird.privacy.erasure.mentions import KeysOfId, mentioned
from tailorbird.privacy.erasure.places import People, Row
from tailorbird.privacy.keys.keyring import Keyring


class SegmentsPlace:
    """``segments/assigned.parquet``, and the mark of who was left to be assigned when a run was interrupted."""

    name = "segments"
    words = "the segment in the file of everybody"
    claims = ("segments/assigned.*", "segments/.lock")

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "segments"
        self._file, self._mark = self._folder / "assigned.parquet", self._folder / "assigned.json"

    def count(self, people: People) -> Mapping[str, int]:
        """Rows of each, and names in the mark."""
        found: Counter[str] = Counter()
        if self._file.exists():
            keys = pq.read_table(self._file, columns=["user_key"])["user_key"]
            found.update(keys.filter(pc.is_in(keys, _texts(people))).to_pylist())
        found.update(set(self._left()) & set(people))
        return found

    def erase(self, people: People) -> None:
        """Write both without them."""
        if not self._folder.is_dir():
            return
        with alone(self._folder / ".lock"):
            left = self._left()
            kept = [key for key in left if key not in set(people)]
            if len(kept) < len(left):
                mark = json.loads(self._mark.read_text("utf-8"))
                _replace(self._mark, lambda path: _write_text(path, json.dumps({**mark, "left": kept})))
            if self._file.exists():
                _rewrite(self._file, lambda table: pc.invert(pc.is_in(table["user_key"], _texts(people))))

    def read(self, people: People) -> Iterator[Row]:
        """The rows, then who waits to be assigned anew."""
        if self._file.exists():
            table = pq.read_table(self._file)
            for row in table.filter(pc.is_in(table["user_key"], _texts(people))).to_pylist():
                yield {**row, "words": f"you count among the segment {row.get('segment')!r}"}
        for key in sorted(set(self._left()) & set(people)):
            yield {"user_key": key, "words": "waits to be assigned to a segment"}

    verify = count

    def _left(self) -> list[str]:
        if not self._mark.exists():
            return []
        return json.loads(self._mark.read_text("utf-8")).get("left") or []


class QuarantinePlace:
    """Rows that were not accepted, as they came: a row is a person's where one of its values is their id."""

    name = "quarantine"
    words = "rows that were refused when they were ingested"
    claims = ("quarantine/*.parquet",)

    def __init__(self, folder: Path, *, keyring: Callable[[], Keyring], keys_of_id: KeysOfId) -> None:
        self._folder, self._keyring, self._keys_of_id = folder, keyring, keys_of_id

    def count(self, people: People) -> Mapping[str, int]:
        """Rows of each."""
        found: Counter[str] = Counter()
        for _, owners in self._owned(people):
            for owner in owners:
                found.update(owner)
        return found

    def erase(self, people: People) -> None:
        """Write the files without their rows; one that is empty then goes."""
        if not self._folder.is_dir():
            return
        with quarantine_lock(self._folder):
            for path, owners in self._owned(people):
                _rewrite(path, partial(_without, owners))
                if not pq.read_metadata(path).num_rows:
                    path.unlink()

    def read(self, people: People) -> Iterator[Row]:
        """The rows, as they came."""
        for path, owned in self._owned(people):
            rows = read_quarantine(path, keyring=self._keyring())
            for row, owners in zip(rows.to_dict("records"), owned, strict=True):
                for _ in owners:
                    kept = {name: row[name] for name in ("table", "row", "reason", "raw")}
                    yield {**kept, "words": f"refused: {row['reason']}"}

    verify = count

    def _owned(self, people: People) -> Iterator[tuple[Path, list[set[str]]]]:
        """Each file with whose its rows are."""
        wanted = frozenset(people)
        for path in sorted(self._folder.glob("*.parquet")):
            rows = read_quarantine(path, keyring=self._keyring())
            yield path, mentioned(rows["raw"].tolist(), people=wanted, keys_of_id=self._keys_of_id)


class ReportsPlace:
    """Reports of ingests: who alone had so many of the events that a person should know is named in them."""

    name = "reports"
    words = "reports of ingests, where the person alone had a large share of the events"
    claims = ("ingested/*.json",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "ingested"

    def count(self, people: People) -> Mapping[str, int]:
        """Sentences about each."""
        found: Counter[str] = Counter()
        for _, report in self._reports():
            found.update(
                key for each in report["anomalies"] for key in people if repr(key) in each["message"]
            )
        return found

    def erase(self, people: People) -> None:
        """Write the reports without those sentences."""
        for path, report in self._reports():
            kept = [
                each
                for each in report["anomalies"]
                if not any(repr(key) in each["message"] for key in people)
            ]
            if len(kept) < len(report["anomalies"]):
                text = json.dumps({**report, "anomalies": kept}, indent=2)
                _replace(path, partial(_write_text, text=text))

    def read(self, people: People) -> Iterator[Row]:
        """The sentences."""
        for _, report in self._reports():
            for each in report["anomalies"]:
                for _ in [key for key in people if repr(key) in each["message"]]:
                    yield {"words": each["message"]}

    verify = count

    def _reports(self) -> list[tuple[Path, dict[str, Any]]]:
        return [(path, json.loads(path.read_text("utf-8"))) for path in sorted(self._folder.glob("*.json"))]


def _without(owners: Sequence[set[str]], table: pa.Table) -> pa.Array:
    return pa.array([not each for each in owners])


def _rewrite(path: Path, kept: Callable[[pa.Table], pa.Array]) -> None:
    """Write a file anew with the rows that are ``kept``, whole or not at all; untouched where all are."""
    with path.open("rb") as handle:
        table = pq.read_table(handle)
    mask = kept(table)
    if bool(np.asarray(mask).all()):
        return
    _replace(path, lambda staged: pq.write_table(table.filter(mask), staged))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(staged)
        fsync(staged)
        staged.replace(path)
        fsync(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _texts(people: People) -> pa.Array:
    return pa.array(list(people), pa.string())
