"""Events read from the stream ahead of the transactions that fold them: many in one read, folded some at a time."""

from collections.abc import Sequence

from tailorbird.events.schema import Event
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Chunk, Entry, Stream

Entries = Sequence[Entry[Event]]


class ReadAhead:
    """What one read of the stream gave, less what is folded by now.

    It is used only from a position that the read covers, and not once a user was forgotten: their events may be in it.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._entries: Entries = []
        self._after = self._end = BEGINNING
        self._forgotten = 0

    def look(self, stream: Stream[Event], after: Position, *, forgotten: int) -> None:
        """Hold the events past ``after``, from memory where it has them; ``forgotten`` changes when a user is forgotten."""
        rest: Entries = []
        if forgotten == self._forgotten and after.reaches(self._after):
            rest = [each for each in self._entries if not after.holds(each.partition, each.offset)]
        if not rest:
            chunk = stream.read(after, limit=self._limit)
            rest, self._end = chunk.entries, chunk.position
        self._entries, self._after, self._forgotten = rest, after, forgotten

    def first(self, count: int) -> Chunk[Event]:
        """The first ``count`` events of those held, and the position after them; they stay held until a look past them."""
        some = self._entries[:count]
        read = self._end if len(some) == len(self._entries) else ends(some)
        return Chunk(some, self._after.joined(read))


def ends(entries: Entries) -> Position:
    """The position of the last of these events in each partition."""
    last: dict[int, int] = {}
    for partition, offset, _ in entries:
        last[partition] = max(offset, last.get(partition, -1))
    return Position(last)


def follows(position: Position, entries: Entries) -> bool:
    """Whether nothing can lie between the position and these entries (ascending in each partition), nor among them.

    Holes cannot be told from events that are missing here: where there are any, the stream is asked.
    """
    last = dict(position.offsets)
    for partition, offset, _ in entries:
        if offset != last.get(partition, -1) + 1:
            return False
        last[partition] = offset
    return True
