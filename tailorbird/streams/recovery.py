"""Brings a database up to an archive that knows more than it does: one put back from an older copy, or cut short."""

import logging
from collections.abc import Iterator

import pyarrow as pa

from tailorbird.streams.archive import Archive
from tailorbird.streams.codec import Codec, Record
from tailorbird.streams.database import Database
from tailorbird.streams.tables import known, state

log = logging.getLogger(__name__)
_SLICE = 10_000


def recover(database: Database, archive: Archive, codec: Codec[Record], *, through: int) -> None:
    """Make everything archived up to ``through`` known to the database; whoever calls holds the archive's lock.

    Archived keys count from now on and archived offsets are never given again. A live record that stands at the offset of
    another, archived one moves past the end, unless it is archived too. Drops nothing; may be interrupted and run again.
    """
    compacted = database.ask(state)[1]
    added, diverged = 0, 0  # diverged: the first offset that both gave, to different records
    for archived in _keys(archive, codec, after=compacted, through=through):
        live = _live(database, codec, min(archived), max(archived))
        lacking = [(codec.digest(key), offset) for offset, key in archived.items() if live.get(offset) != key]
        for start in range(0, len(lacking), _SLICE):  # writers of new records pass in between
            with database.transaction() as connection:
                some = sorted(lacking[start : start + _SLICE])
                connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?)", some)
        added += len(lacking)
        diverged = diverged or min((offset for _, offset in lacking if offset in live), default=0)
    moved = _move(database, codec, _others(database, archive, codec, diverged, through), through=through)
    if added:
        log.warning(
            "%s stream %s was older than its archive, as after a copy was put back: new records go on from offset %d, %d "
            "archived records are known again; have sent again what came after the copy and was not archived",
            codec.name,
            database.path,
            database.ask(state)[0] + 1,
            added,
        )
    if moved:
        log.warning(
            "%s stream %s: %d records stood at offsets of archived ones and moved to the end; run "
            "`tailorbird features --force`, since profiles may count them twice",
            codec.name,
            database.path,
            moved,
        )


def put_back(database: Database, archive: Archive, codec: Codec[Record], rows: pa.Table) -> None:
    """Archive the records of a backup where they stood (with PLACE, sorted by offset, past everything there is), their keys taken."""
    archive.append(rows)
    keys = zip(rows[codec.key].to_pylist(), rows["offset"].to_pylist(), strict=True)
    digests = sorted((codec.digest(key), offset) for key, offset in keys)
    last = int(rows["offset"][-1].as_py())
    with database.transaction() as connection:
        connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?)", digests)
        connection.execute("UPDATE state SET last_offset = ?, compacted_offset = ?", (last, last))


def _others(
    database: Database,
    archive: Archive,
    codec: Codec[Record],
    diverged: int,
    through: int,
) -> dict[int, str]:
    """Live records that the archive does not hold at their offset: what it lacks before ``diverged`` was forgotten there."""
    if not diverged:
        return {}
    others = _live(database, codec, diverged, through)
    for archived in _keys(archive, codec, after=diverged - 1, through=through):
        others = {offset: key for offset, key in others.items() if archived.get(offset) != key}
    return others


def _move(database: Database, codec: Codec[Record], keys: dict[int, str], *, through: int) -> int:
    """Give no offset up to ``through`` any more, and new ones to the records with ``keys``; how many these were."""
    digests = {codec.digest(key): offset for offset, key in sorted(keys.items())}
    with database.transaction() as connection:
        taken = known(connection, list(digests))
        own = [(digest, offset) for digest, offset in digests.items() if taken.get(digest) == offset]
        last = max(state(connection)[0], through)
        for place, (digest, offset) in enumerate(own, start=last + 1):
            connection.execute('UPDATE records SET "offset" = ? WHERE "offset" = ?', (place, offset))
            connection.execute('UPDATE keys SET "offset" = ? WHERE digest = ?', (place, digest))
        connection.execute("UPDATE state SET last_offset = ?", (last + len(own),))
    return len(own)


def _keys(archive: Archive, codec: Codec[Record], *, after: int, through: int) -> Iterator[dict[int, str]]:
    """The keys of archived records by their offsets, file by file."""
    for table in archive.read(after=after, through=through, columns=[codec.key]):
        if len(table):
            yield dict(zip(table["offset"].to_pylist(), table[codec.key].to_pylist(), strict=True))


def _live(database: Database, codec: Codec[Record], first: int, last: int) -> dict[int, str]:
    select = f'SELECT "offset", "{codec.key}" FROM records WHERE "offset" BETWEEN ? AND ?'  # noqa: S608
    return dict(database.ask(lambda connection: connection.execute(select, (first, last)).fetchall()))
