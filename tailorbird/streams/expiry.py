"""Records that have reached their age: moved to the archive with all others, and deleted there in one pass over its files."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from tailorbird.plumbing.alone import alone
from tailorbird.streams.compaction import Compactable, compact_alone
from tailorbird.streams.stream import Condition, Stream

Which = Sequence[Sequence[Condition]]
"""Records that meet all conditions of one at least."""


def expire(stream: Compactable, which: Which) -> int:
    """Delete the records that meet ``which``, the bytes too; how many that were. Their keys stay taken.

    Safe to interrupt at any instant and to run again: a file is replaced whole, and what the table needs no more is deleted even
    where nothing was found, as one that was killed may have left it.

    Raises:
        TailorbirdError: others hold the stream or change the archive; do it again.
    """
    gone = 0
    with alone(stream.archive_lock):
        compact_alone(stream)
        for part in stream.parts:
            gone += part.archive.expire(which)
        stream.purge()
    return gone


def count_due(stream: Stream, which: Which, *, by: str) -> Counter[str]:  # type: ignore[type-arg, unused-ignore]
    """How many records meet ``which``, by the values of column ``by``; each counts once, if the parts of ``which`` are apart."""
    found: Counter[str] = Counter()
    for where in which:
        for batch in stream.scan(columns=[by], where=where):
            counted = pa.Table.from_batches([batch])[by].value_counts()
            found.update({each["values"]: each["counts"] for each in counted.to_pylist()})
    return found
