"""Records in a backup: those of a person, a stretch at a time, under the person's own key; nothing else says what they are."""

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.plumbing.disk import fsync
from tailorbird.privacy.keys.sealing import SealError, seal, unseal

ROWS = 50_000
"""Records of a file at most: what is held in memory at a time."""
SCHEMA = pa.schema(
    [
        pa.field("person", pa.string(), nullable=False),
        pa.field("records", pa.int32(), nullable=False),
        pa.field("sealed", pa.binary(), nullable=False),
    ]
)
NOBODY = ""
"""Whose the records are that belong to nobody."""
Ciphers = Callable[[Collection[str]], Mapping[str, Sequence[AESGCM]]]
"""Of those of some people (person keys, or NOBODY) who have a key, their ciphers: the first seals, each may open."""


@dataclass(frozen=True)
class Written:
    """How many records were sealed, and how many are of people without a key, whom an erasure has just reached."""

    records: int = 0
    without_key: int = 0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.records + other.records, self.without_key + other.without_key)


@dataclass(frozen=True)
class Opened:
    """The ``lines`` of a file, and how many ``records`` open no more: their person's key is destroyed."""

    lines: list[bytes]
    gone: int


def write_sealed(path: Path, lines: Mapping[str, list[bytes]], *, name: str, ciphers: Ciphers) -> Written:
    """Write lines (without line ends) by person; ``name`` says of what they are, and they open for it alone."""
    found = ciphers(lines.keys())
    sealed = {
        person: seal(cipher, zlib.compress(b"\n".join(lines[person]), 1), purpose=_purpose(name, person))
        for person, (cipher, *_) in found.items()
    }
    counts = [len(lines[person]) for person in sealed]
    columns = {"person": list(sealed), "records": counts, "sealed": list(sealed.values())}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="none")
    fsync(path)
    return Written(sum(counts), sum(map(len, lines.values())) - sum(counts))


def read_sealed(path: Path, *, name: str, ciphers: Ciphers) -> Opened:
    """What can still be read of a file."""
    lines: list[bytes] = []
    gone = 0
    table = pq.read_table(path, schema=SCHEMA)
    people, counts, sealed = (column.to_pylist() for column in table.columns)
    found = ciphers(set(people))
    for person, count, each in zip(people, counts, sealed, strict=True):
        plain = _opened(found.get(person, ()), each, purpose=_purpose(name, person))
        if plain is None:
            gone += count
        else:
            lines += zlib.decompress(plain).split(b"\n")
    return Opened(lines, gone)


class Gatherer:
    """Gathers lines by person and writes a file whenever there are ROWS of them."""

    def __init__(self, folder: Path, *, name: str, ciphers: Ciphers) -> None:
        self._folder, self._name, self._ciphers = folder, name, ciphers
        self._lines: dict[str, list[bytes]] = defaultdict(list)
        self._waiting = self._files = 0
        self.written = Written()
        folder.mkdir(parents=True)

    def add(self, person: str, line: bytes) -> None:
        """One more line, of a person or of NOBODY."""
        self._lines[person].append(line)
        self._waiting += 1
        if self._waiting >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            path = self._folder / f"part-{self._files:06d}.parquet"
            self.written += write_sealed(path, self._lines, name=self._name, ciphers=self._ciphers)
            self._lines, self._waiting, self._files = defaultdict(list), 0, self._files + 1


def parts(folder: Path) -> Iterator[Path]:
    """The files that a gatherer wrote, in order."""
    yield from sorted(folder.glob("part-*.parquet"))


def _opened(ciphers: Sequence[AESGCM], sealed: bytes, *, purpose: str) -> bytes | None:
    """None where no key is left, or a new one only, of somebody who was erased and came back."""
    for cipher in ciphers:
        try:
            return unseal(cipher, sealed, purpose=purpose)
        except SealError:
            continue
    return None


def _purpose(name: str, person: str) -> str:
    return f"backup {name} {person}"
