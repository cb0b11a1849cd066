"""The export: everything of a person, section by section, as JSON or Parquet, row by row in bounded memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tailorbird.events.schema import CONSENT, MOVE
from tailorbird.features.consent.consents import RESTRICTION, SAID
from tailorbird.privacy.erasure.places import People, Place, Row
from tailorbird.privacy.policy.words import OBJECTION

Format = Literal["json", "parquet"]
MEDIA_TYPES = {"json": "application/json", "parquet": "application/vnd.apache.parquet"}
ROWS_AT_ONCE = 1_000
SCHEMA = pa.schema(
    [
        pa.field("section", pa.string(), nullable=False),
        pa.field("about", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("words", pa.string()),
        pa.field("data", pa.string(), nullable=False),  # JSON object
    ]
)
"""Of the Parquet file: sections differ, so each row carries its values as JSON."""


@dataclass(frozen=True)
class Section:
    """One part of an export; ``about`` says to the person what it is."""

    name: str
    about: str
    rows: Callable[[], Iterator[Row]]


def sections_of_places(places: Sequence[Place], people: People) -> list[Section]:
    """One section a place: what it counts is what it tells."""
    return [Section(place.name, place.words, _reading(place, people)) for place in places]


def moves_of(events: Place, people: People) -> Iterator[Row]:
    """The moves among the events: from which segment to which, and why."""
    for row in events.read(people):
        if row["type"] == MOVE:
            yield {**row.get("properties", {}), "at": row["timestamp"], "words": row["words"]}


def variants_of(exposures: Place, people: People) -> Iterator[Row]:
    """Which variants of experiments a person got, and which arms answered: how often, first and last."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for row in exposures.read(people):
        taken = [("arm", row["arm"]), *row["experiments"].items()]
        for key, name in taken:
            found = seen.setdefault((key, name), {"answers": 0, "first": row["at"], "last": row["at"]})
            found["answers"] += 1
            found["first"], found["last"] = min(found["first"], row["at"]), max(found["last"], row["at"])
    for (key, name), found in seen.items():
        if key == "arm":
            said = {"arm": name, "words": f"you were answered by the arm {name!r}"}
        else:
            said = {"experiment": key, "variant": name, "words": f"you got the variant {name!r} of {key!r}"}
        yield {**found, **said, "words": f"{said['words']}, {found['answers']:,} times"}


def decisions_of(exposures: Place, people: People) -> Iterator[Row]:
    """What was decided by programs about a person: which model chose, what stood in for one, and what was left out."""
    chosen: Counter[tuple[str, str, str]] = Counter()
    for row in exposures.read(people):
        chosen[row["model"]["name"], row["model"]["version"], row["fallback"] or ""] += 1
    for (name, version, fallback), count in sorted(chosen.items()):
        by = f"version {version} of {name}" if version else "a list that is the same for many"
        instead = f"; {fallback} stood in for it" if fallback else ""
        yield {
            "model": {"name": name, "version": version},
            "fallback": fallback or None,
            "answers": count,
            "words": f"{by} chose what you were shown, {count:,} times{instead}; nobody looked at it",
        }


def consents_of(events: Place, people: People) -> Iterator[Row]:
    """What a person allowed and refused, and when, by which version of the text."""
    for row in events.read(people):
        if row["type"] == CONSENT:
            said = row["context"][SAID]
            properties = row.get("properties", {})
            key = "userId" if "userId" in row else "anonymousId"
            yield {
                key: row[key],
                "at": row["timestamp"],
                SAID: said,
                **properties,
                "words": _said(said, right=properties.get("right", "")),
            }


def _said(purposes: Mapping[str, bool], *, right: str) -> str:
    if right == RESTRICTION:
        return (
            "what is known of you is kept and used for nothing, as you asked"
            if purposes.get(RESTRICTION)
            else "that what is known of you is used for nothing was lifted"
        )
    if right == OBJECTION:
        return f"you objected to {', '.join(purposes)}"
    words = ", ".join(f"{'yes' if given else 'no'} to {name}" for name, given in purposes.items())
    return f"you said {words}"


def write_export(sections: Sequence[Section], path: Path, *, form: Format, head: Row) -> dict[str, int]:
    """Write all of it to ``path``, and ``head`` before it; how many rows each section has."""
    counts: dict[str, int] = {}
    if form == "json":
        with path.open("wb") as out:
            _write_json(sections, out, head=head, counts=counts)
        return counts
    about = {name: str(value) for name, value in head.items()}
    with pq.ParquetWriter(path, SCHEMA.with_metadata(about), compression="zstd") as writer:
        for section in sections:
            counts[section.name] = 0
            for rows in _batches(section.rows()):
                writer.write_table(_table(section, rows, first=counts[section.name]))
                counts[section.name] += len(rows)
    return counts


def _reading(place: Place, people: People) -> Callable[[], Iterator[Row]]:
    return lambda: place.read(people)


def _write_json(sections: Sequence[Section], out: IO[bytes], *, head: Row, counts: dict[str, int]) -> None:
    out.write(orjson.dumps(head)[:-1] + (b',"sections":[' if head else b'"sections":['))
    for place, section in enumerate(sections):
        opening = orjson.dumps({"name": section.name, "about": section.about})[:-1]
        out.write((b"," if place else b"") + b"\n" + opening + b',"rows":[')
        count = 0
        for row in section.rows():
            out.write((b",\n" if count else b"\n") + orjson.dumps(row, default=str))
            count += 1
        counts[section.name] = count
        out.write(b'],"count":%d}' % count)
    out.write(b"\n]}\n")


def _table(section: Section, rows: Sequence[Row], *, first: int) -> pa.Table:
    return pa.table(
        {
            "section": [section.name] * len(rows),
            "about": [section.about] * len(rows),
            "number": list(range(first, first + len(rows))),
            "words": [row.get("words") for row in rows],
            "data": [orjson.dumps(row, default=str).decode() for row in rows],
        },
        schema=SCHEMA,
    )


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
