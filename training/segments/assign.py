"""Everybody's segment in one file: made whole once, then brought up to date with those whose events came since.

A segment changes with events alone, so whoever did nothing since stays where they are. A written rule becomes true by time
alone: while there are any, everybody is looked at. It says what the live path says: both ask the same functions of the same history.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tailorbird.catalog.catalog import Users
from tailorbird.features.demographics import NOBODY, demographics_of
from tailorbird.plumbing.alone import alone
from tailorbird.segments.model import SegmentModel
from tailorbird.segments.rules.rules import NO_SEGMENT_RULES, SegmentRules
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING, Position
from training.segments.people import changed_since, states_of

AT_ONCE = 20_000
"""People that are assigned between two times that the file is written: what is done by then is not done again."""
SCHEMA = pa.schema(
    [
        ("user_key", pa.string()),
        ("segment", pa.string()),
        ("evidence", pa.float64()),
        ("model", pa.string()),
        ("rules", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Assignment:
    """What a run did: people ``looked`` at, those ``moved``, people known in all, and the size of each segment."""

    looked: int
    moved: int
    people: int
    sizes: dict[str, int]


class AssignedPeople:
    """The file of one workspace, ``segments/assigned.parquet``, and the mark of how far it goes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = settings.folder / "segments"
        self.file: Path = self.folder / "assigned.parquet"
        self._mark = self.folder / "assigned.json"

    def update(
        self,
        model: SegmentModel,
        version: int,
        *,
        rules: SegmentRules = NO_SEGMENT_RULES,
        now: float = 0.0,
        advance: Callable[[int], object] = lambda people: None,
    ) -> Assignment:
        """Assign whoever is not assigned by this version with all their events; interrupted, the next run goes on from there.

        ``rules`` are those that hold, at ``now`` (epoch seconds); while there are any, everybody is looked at.
        """
        with alone(self.folder / ".lock"):
            with open_events(self._settings) as events:
                through = events.end()
            ruled = bool(rules.rules)
            position, todo = self._missing(version, through, ruled=ruled)
            table, moved = self._read(), 0
            for start in range(0, len(todo), AT_ONCE):
                chunk = todo[start : start + AT_ONCE]
                fresh = self._assigned(model, version, chunk, through=through, rules=rules, now=now)
                before = dict(zip(table["user_key"].to_pylist(), table["segment"].to_pylist(), strict=True))
                moved += sum(
                    before.get(key, "") != segment
                    for key, segment in zip(
                        fresh["user_key"].to_pylist(), fresh["segment"].to_pylist(), strict=True
                    )
                )
                kept = table.filter(pc.invert(pc.is_in(table["user_key"], pa.array(chunk, pa.string()))))
                table = pa.concat_tables([kept, fresh]).sort_by("user_key")
                self._write(
                    table, version, position, left=todo[start + AT_ONCE :], through=through, ruled=ruled
                )
                advance(len(chunk))
            self._write(table, version, through, left=(), through=through, ruled=ruled)
        counted = pc.value_counts(table["segment"])
        sizes = {each["values"].as_py(): each["counts"].as_py() for each in counted}
        return Assignment(len(todo), moved, len(table), sizes)

    def _missing(self, version: int, through: Position, *, ruled: bool) -> tuple[Position, list[str]]:
        """How far the file goes, and whose rows are missing or older than their events."""
        mark = self._read_mark()
        if (
            mark is None
            or mark["version"] != version
            or "rules" not in mark  # a file of before there were any
            or not through.reaches(Position.from_text(mark["position"]))
        ):
            self._mark.unlink(missing_ok=True)
            return BEGINNING, changed_since(self._settings, BEGINNING, through=through)
        position = Position.from_text(mark["position"])
        if ruled or mark["rules"]:
            return position, changed_since(self._settings, BEGINNING, through=through)
        if mark["left"] is not None:  # interrupted: the rest of then, and whoever did something since
            reached = Position.from_text(mark["through"])
            since = changed_since(self._settings, reached, through=through) if reached != through else []
            return position, sorted({*mark["left"], *since})
        return position, changed_since(
            self._settings, position, through=through
        ) if position != through else []

    def _assigned(
        self,
        model: SegmentModel,
        version: int,
        user_keys: Sequence[str],
        *,
        through: Position,
        rules: SegmentRules,
        now: float,
    ) -> pa.Table:
        people = demographics_of(Users.read(self._settings.catalog_folder))
        states = states_of(self._settings, user_keys, through=through)
        told = [people.get(state.user_key, NOBODY) for state in states]
        found = [model.assign(state, person) for state, person in zip(states, told, strict=True)]
        held = [
            rules.holding(state, now=now, demographics=person, segment=each.key)
            for state, person, each in zip(states, told, found, strict=True)
        ]
        return pa.table(
            {
                "user_key": list(user_keys),
                "segment": [each.key for each in found],
                "evidence": [each.evidence for each in found],
                "model": [str(version)] * len(found),
                "rules": [[rule.key for rule in each] for each in held],
            },
            schema=SCHEMA,
        )

    def _read(self) -> pa.Table:
        if self._read_mark() is None or not self.file.exists():
            return SCHEMA.empty_table()
        return pq.read_table(self.file, schema=SCHEMA)

    def _read_mark(self) -> dict[str, Any] | None:
        try:
            mark: dict[str, Any] = json.loads(self._mark.read_text("utf-8"))
            return mark
        except (OSError, ValueError):
            return None

    def _write(
        self,
        table: pa.Table,
        version: int,
        position: Position,
        *,
        left: Sequence[str],
        through: Position,
        ruled: bool,
    ) -> None:
        """The file first, then the mark: what is done twice is the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        staged = self.file.with_suffix(".tmp")
        pq.write_table(table, staged, compression="zstd")
        staged.replace(self.file)
        mark = {
            "version": version,
            "position": position.to_text(),
            "through": through.to_text(),
            "left": list(left) or None,
            "rules": ruled,
        }
        said = self._mark.with_suffix(".tmp")
        said.write_text(json.dumps(mark), "utf-8")
        said.replace(self._mark)
