"""The archive of a stream: a Delta table that others can read too, with atomic commits and row deletes.

A file holds a stretch of offsets of one partition; stretches do not overlap, so a reader goes file by file, in the order
of the offsets, with one file in memory. The table also says up to which offset it is complete (a Delta transaction
identifier that commits with the rows), so an interrupted compaction is finished, never repeated.
"""

import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.codec import Codec
from tailorbird.streams.conditions import expression
from tailorbird.streams.delta import ArchiveTable
from tailorbird.streams.stream import Condition
from tailorbird.streams.stretch import Stretch, joined, possible

FILE_ROWS = 250_000
"""Rows of a file at most: what a reader holds in memory at a time."""


class Archive:
    """The table in ``folder``, made by the first append; ``source`` names the stream that it is the archive of.

    A stream of several partitions has one table and an object of this class for each ``partition``, whose offsets count
    from 0; without one there is a single partition, whose offsets count from 1.
    """

    def __init__(
        self, folder: Path | ObjectPath, codec: Codec, *, source: str, partition: int | None = None
    ) -> None:
        self.folder, self._codec, self._source = folder, codec, source
        self._partition = partition or 0
        self._mark = source if partition is None else f"{source}/{partition}"
        self._before = 0 if partition is None else -1
        self._table = ArchiveTable(folder, codec, source=source)
        self.schema = codec.placed_schema

    def through(self) -> int:
        """The offset up to which everything was archived; the one before the first (0 or -1) where nothing was."""
        table = self._table.open()
        if table is None:
            return self._before
        if table.transaction_version(self._source) is None:
            raise TailorbirdError(
                f"{self._codec.name} archive {self.folder} belongs to another stream than {self._source}",
                remedy="restore the database that it belongs to, or move the folder away",
            )
        through = table.transaction_version(self._mark)
        return self._before if through is None else int(through)

    def version(self) -> str:
        """What changes with every commit; empty before the first."""
        return self._table.version()

    def exists(self) -> bool:
        """Whether something was archived."""
        return self._table.exists()

    def append(self, rows: pa.Table) -> None:
        """Add ``rows`` (sorted by offset, past ``through``) and move ``through`` to the last, in one durable commit."""
        first, last = (int(rows["offset"][place].as_py()) for place in (0, -1))
        table = self._table.open() or self._table.made()
        known = table.transaction_version(self._mark)
        if (self._before if known is None else known) >= first:
            raise TailorbirdError(
                f"{self._codec.name} archive {self.folder} holds offset {first} already: another machine was faster",
                remedy="nothing is lost; the next compaction goes on from there",
            )
        self._table.add(table, rows, mark=self._mark, last=last)
        self._table.sync(self.stretches(after=first - 1))  # Delta writes large rows as several files

    def stretches(self, *, after: int | None = None) -> list[Stretch]:
        """What the table holds past ``after`` (all, if None), in the order of the offsets."""
        table = self._table.open()
        return [] if table is None else self._stretches(table, after=after)

    def _stretches(self, table: Any, *, after: int | None = None) -> list[Stretch]:
        actions = pa.table(table.get_add_actions(flatten=True))
        names = [name for name in self._codec.times if f"min.{name}" in actions.column_names]
        merged: list[Stretch] = []
        own = [row for row in actions.to_pylist() if row["min.partition"] == self._partition]
        for row in sorted(own, key=lambda row: row["min.offset"]):
            bounds = tuple((name, row[f"min.{name}"], row[f"max.{name}"]) for name in names)
            one = Stretch(
                row["min.offset"], row["max.offset"], row["num_records"], (self.folder / row["path"],), bounds
            )
            if merged and one.first <= merged[-1].last:  # another program's OPTIMIZE may have mixed them
                merged[-1] = joined(merged[-1], one)
            else:
                merged.append(one)
        return [stretch for stretch in merged if after is None or stretch.last > after]

    def read(
        self,
        *,
        after: int,
        through: int,
        columns: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
    ) -> Iterator[pa.Table]:
        """Rows with offsets in (``after``, ``through``], one stretch at a time, in order; empty tables where none match.

        A stretch that is rewritten while somebody reads is read again where it now lies.
        """
        offset = ds.field("offset")
        tried: set[Path | ObjectPath] = set()
        while after < through:
            stretches = [each for each in self.stretches(after=after) if each.first <= through]
            if not stretches:
                return
            for stretch in stretches:
                if possible(stretch, where):
                    condition = (offset > after) & (offset <= through) & expression(where, self.schema)
                    try:
                        with self._table.readable():
                            rows = self._table.load(stretch, columns, condition)
                    except TailorbirdError:
                        lost = {path for path in stretch.paths if not path.exists()}
                        if not lost or lost & tried:
                            raise
                        tried |= lost
                        break
                    yield rows
                after = stretch.last
            else:
                return

    def forget(self, person: str, *, through: int | None = None) -> int:
        """Delete a person's rows (up to ``through``) and the files that held them; how many rows that were."""
        return self.forget_all({person: through})[person]

    def forget_all(self, people: Mapping[str, int | None]) -> Counter[str]:
        """Delete people's rows, each up to an offset (all, if None), and the files that held them; how many of each.

        Every file is looked at once, whoever is in it.
        """
        gone: Counter[str] = Counter()
        for found in self._without(self._of(people), lambda stretch: True):
            gone.update(found[self._codec.person].to_pylist())
        return gone

    def expire(self, which: Sequence[Sequence[Condition]]) -> int:
        """Delete the rows that meet all conditions of one of ``which``, and the files that held them; how many rows that were."""
        conditions = [expression(where, self.schema) for where in which]
        met = functools.reduce(operator.or_, conditions, pc.scalar(False))
        return sum(
            len(found)
            for found in self._without(met, lambda stretch: any(possible(stretch, where) for where in which))
        )

    def _without(self, met: ds.Expression, look: Callable[[Stretch], bool]) -> Iterator[pa.Table]:
        """Rewrite every stretch at which one must ``look`` without the rows that meet a condition; the people of those rows."""
        after, any_gone = None, False
        while (table := self._table.open()) is not None and (left := self._stretches(table, after=after)):
            stretch = left[0]
            after = stretch.last
            if not look(stretch):
                continue
            with self._table.readable():
                found = self._table.load(stretch, [self._codec.person], met)
                if len(found):
                    self._replace(table, [stretch], self._table.load(stretch, None, ~met))
            any_gone |= len(found) > 0
            yield found
        # Where this machine alone writes, also if nothing was found: one that was killed after its last commit left the files.
        if any_gone or isinstance(self.folder, Path):
            self.sweep(keep_hours=0)

    def _of(self, people: Mapping[str, int | None]) -> ds.Expression:
        """Whose rows: those without a bound in one look-up, however many they are."""
        person = ds.field(self._codec.person)
        kind = self.schema.field(self._codec.person).type
        theirs = person.isin(pa.array([key for key, through in people.items() if through is None], kind))
        for key, through in people.items():
            if through is not None:
                theirs = theirs | ((person == key) & (ds.field("offset") <= through))
        return theirs

    def merge(self, *, fewest: int = 8) -> int:
        """Join the newest small files where there are ``fewest`` at least; how many were joined."""
        small: list[Stretch] = []
        table = self._table.open()
        for stretch in reversed(self._stretches(table) if table is not None else []):
            if stretch.rows + sum(each.rows for each in small) > FILE_ROWS:
                break
            small.insert(0, stretch)
        if len(small) < fewest:
            return 0
        with self._table.readable():
            rows = pa.concat_tables([self._table.load(stretch, None, None) for stretch in small])
            self._replace(table, small, rows)
        return len(small)

    def sweep(self, *, keep_hours: int) -> None:
        """Delete files that the table has not needed for ``keep_hours``, and what its log says of them.

        Where this machine alone writes, also those that no commit names: a process was killed while it wrote them.
        """
        table = self._table.open()
        if table is None:
            return
        with self._table.readable():
            table.vacuum(
                retention_hours=keep_hours,
                enforce_retention_duration=False,
                dry_run=False,
                full=isinstance(self.folder, Path),
            )

    def _replace(self, table: Any, stretches: Sequence[Stretch], rows: pa.Table) -> None:
        """Put ``rows`` where ``stretches`` are, in one commit; refused where these have changed since ``table`` was opened."""
        first, last = stretches[0].first, stretches[-1].last
        span = f"partition = {self._partition} AND offset >= {first} AND offset <= {last}"
        self._table.put(table, rows, span=span)
        self._table.sync([each for each in self.stretches() if first <= each.first and each.last <= last])
