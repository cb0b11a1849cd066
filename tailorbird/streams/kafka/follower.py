"""Keeps a mirror up to its topic: takes in what others appended, forgets whom they forgot, says aloud what is lost."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.streams.kafka.mirror import Found, Mark, Mirror
from tailorbird.streams.kafka.part import MirrorPart
from tailorbird.streams.kafka.partitions import partition_of
from tailorbird.streams.kafka.seals import Opened, Seals, envelope_of, is_sealed
from tailorbird.streams.kafka.topic import Described, DroppedError, Message, Topic
from tailorbird.streams.kafka.trouble import log
from tailorbird.streams.kafka.wire import PoisonError, Wire
from tailorbird.streams.position import Position
from tailorbird.streams.stream import StreamAwayError

Record = TypeVar("Record")


class Follower(Generic[Record]):
    """Any number of followers, in any process of this machine, may keep one mirror."""

    def __init__(
        self,
        topic: Topic,
        mirror: Mirror[Record],
        parts: Sequence[MirrorPart[Record]],
        wire: Wire[Record],
        seals: Seals | None,
    ) -> None:
        self._topic, self._mirror, self._parts, self._wire = topic, mirror, parts, wire
        self._seals = seals
        self._archive = parts[0].archive
        self._described: Described | None = None
        self._preparing = threading.Lock()
        self._ends: dict[int, int] = {}

    @property
    def archive_lock(self) -> Path:
        """Held by the one who changes the archive."""
        folder = self._archive.folder
        if isinstance(folder, Path):
            return folder.with_suffix(".lock")
        return self._mirror.path.with_suffix(".archive.lock")

    def prepare(self) -> Described:
        """Meet the topic, once: see that it is the one of the mirror, begin the mirror where it is new, and follow it.

        Raises:
            TailorbirdError: it is another topic than before, or records are lost.
            StreamAwayError: no broker answers.
        """
        with self._preparing:
            if self._described is None:
                described = self._met()
                if not self._mirror.identity()[1]:
                    self._begin(described)
                self._require_whole()
                self._described = described
                fresh = True
            else:
                fresh = False
        if fresh:
            self.follow()
        return self._described

    def knows(self, position: Position) -> bool:
        """Whether everything up to ``position`` is in the mirror."""
        marks = self._mirror.marks()
        return all(each in marks and marks[each].followed >= position[each] for each in position)

    def follow(self, *, erase: bool = True) -> None:
        """Take in everything that the topic holds now."""
        if self._described is None:
            self._mirror.marks()  # a mirror that is closed says so
            self.prepare()
        before = (
            self._ends
        )  # taken before asking: what another thread hears meanwhile may be newer than our answer
        ends = self._topic.ends()
        for part, end in ends.items():
            if end < before.get(part, 0):
                raise self._lost(part, before[part] - 1)
        self._ends = {part: max(end, self._ends.get(part, 0)) for part, end in ends.items()}
        self._follow({part: end - 1 for part, end in ends.items()}, {})
        if erase and self._mirror.erasures():
            with alone_if_free(self.archive_lock) as free:  # who holds it sees to it
                if free:
                    self.erase()

    def take_in(self, own: Mapping[int, Sequence[Found]], *, after: Mapping[int, int]) -> None:
        """Take in records that were just appended by us, past ``after``, and whatever others appended before them."""
        for part, some in own.items():
            if min(each.offset for each in some) <= after[part]:
                raise self._lost(part, after[part])
        through = {part: max(each.offset for each in some) for part, some in own.items()}
        first = {part: min(each.offset for each in some) for part, some in own.items()}
        whole = [part for part in own if through[part] - first[part] + 1 == len(own[part])]
        missing = set(own) - set(whole)
        if whole:
            missing |= self._mirror.absorb(
                {part: sorted(own[part]) for part in whole},
                {part: through[part] for part in whole},
                after={part: first[part] - 1 for part in whole},
            )
        if missing:
            rows = {(part, each.offset): each for part in missing for each in own[part]}
            self._follow({part: through[part] for part in missing}, rows)

    def erase(self) -> Counter[str]:
        """Forget in the archive whom the topic forgot; how many rows that were. The caller holds the archive's lock."""
        gone: Counter[str] = Counter()
        erasures = self._mirror.erasures()
        people: dict[int, dict[str, int | None]] = {}
        for each in erasures:  # in the order of their offsets: the last word on somebody counts
            people.setdefault(each.partition, {})[each.person] = each.offset
        for partition, some in people.items():
            gone += self._parts[partition].archive.forget_all(some)
        if erasures:
            self._mirror.erased(erasures)
        return gone

    def _follow(self, through: Mapping[int, int], own: Mapping[tuple[int, int], Found]) -> None:
        marks = self._mirror.marks()
        starts = {
            part: marks[part].followed + 1 for part, last in through.items() if last > marks[part].followed
        }
        if not starts:
            return
        before = {part: start - 1 for part, start in starts.items()}
        try:
            for page in self._topic.pages(starts, {part: through[part] for part in starts}):
                opened = self._opened([each for some in page.messages.values() for each in some])
                found = {
                    part: [
                        own.get((part, message.offset)) or self._found(message, opened) for message in some
                    ]
                    for part, some in page.messages.items()
                }
                self._mirror.absorb(found, page.reached, after=before)
                before = dict(page.reached)
        except DroppedError:
            if not self._take_archived():
                raise
            self._follow(through, own)

    def _opened(self, messages: Sequence[Message]) -> Opened:
        """What the sealed ones of some messages hold; without keys of people there must be none."""
        if self._seals is not None:
            opened = self._seals.opened(messages)
            if destroyed := list(opened.values()).count(None):
                log.info("topic %s: %d records of people who were erased", self._topic.name, destroyed)
            return opened
        if any(is_sealed(each.value) for each in messages):
            raise StreamAwayError(
                f"topic {self._topic.name} holds records that are sealed under people's own keys, which this machine does not share",
                remedy="set TAILORBIRD_PEOPLE and the master key as on the machines that write them",
            )
        return {}

    def _found(self, message: Message, opened: Opened) -> Found:
        """What a message says."""
        offset, value = message.offset, message.value
        try:
            person = message.key.decode()
            if partition_of(person, self._mirror.partitions) != message.partition:
                raise PoisonError("its key belongs to another partition")
            if value is None:
                return Found(offset, forgets=person)
            envelope = envelope_of(value)
            if envelope is not None:
                if (message.partition, offset) not in opened:
                    raise PoisonError("it does not open with its person's key")
                plain = opened[message.partition, offset]
                if plain is None:
                    return Found(offset, taken=envelope.digest)
                value = plain
            row = self._wire.decode(value)
            if self._wire.person_of(row) != person:
                raise PoisonError("its key is not its person")
            if envelope is not None and self._wire.digest_of(row) != envelope.digest:
                raise PoisonError("its digest is not that of its key")
            return Found(offset, row)
        except (PoisonError, UnicodeError) as error:
            fault = str(error) if isinstance(error, PoisonError) else "its key is no text"
            log.warning(
                "topic %s, partition %d, offset %d: no record, set aside: %s",
                self._topic.name,
                message.partition,
                offset,
                fault,
            )
            return Found(offset, fault=fault)

    def _met(self) -> Described:
        identity, partitions = self._mirror.identity()
        described = self._topic.describe(create=not partitions and not self._archive.exists())
        name = self._topic.name
        if described is None:
            raise TailorbirdError(
                f"topic {name} is gone, and this workspace holds what it held",
                remedy="restore the topic, or correct TAILORBIRD_EVENTS; another prefix starts a new stream",
            )
        if partitions and partitions != self._mirror.partitions:
            raise UsageError(
                f"the records of topic {name} lie in {partitions} partitions, the setting events says {self._mirror.partitions}",
                remedy=f"set partitions={partitions} in TAILORBIRD_EVENTS",
            )
        if identity and described.identity and identity != described.identity:
            raise TailorbirdError(
                f"topic {name} was deleted and made anew since this workspace followed it",
                remedy="restore it, or name another prefix in TAILORBIRD_EVENTS and start a new workspace",
            )
        return described

    def _begin(self, described: Described) -> None:
        """A new mirror knows the archive's keys and goes on where the topic begins."""
        marks = {}
        for part, start in self._topic.starts().items():
            archived = self._parts[part].archive.through()
            if start - 1 > archived:
                raise self._topic.dropped(part, archived + 1)
            self._mirror.take_keys(part, self._parts[part].archived_keys(after=-1, through=archived))
            marks[part] = Mark(start - 1, archived, archived)
        self._mirror.begin(described.identity, marks)

    def _take_archived(self) -> bool:
        """Where the topic has dropped what the mirror lacks, the archive may hold it; whether it does everywhere."""
        starts, marks = self._topic.starts(), self._mirror.marks()
        for part, start in starts.items():
            if start - 1 <= marks[part].followed:
                continue
            archived = self._parts[part].archive.through()
            if archived < start - 1:
                return False
            keys = self._parts[part].archived_keys(after=marks[part].followed, through=archived)
            self._mirror.take_keys(part, keys)
            self._mirror.skip_to(part, archived)
            self._parts[part].drop_through(archived)
        return True

    def _require_whole(self) -> None:
        """What the mirror or the archive holds must lie within the topic, else new records would get places of others."""
        marks = self._mirror.marks()
        for part, end in self._topic.ends().items():
            known = max(marks[part].followed, marks[part].compacted)
            if end - 1 < known and not self._topic.reaches(part, known):
                raise self._lost(part, known)

    def _lost(self, partition: int, known: int) -> TailorbirdError:
        return TailorbirdError(
            f"topic {self._topic.name}, partition {partition} ends before offset {known}, up to which this workspace "
            f"holds records: the cluster has lost records, or the topic was made anew",
            remedy="restore the topic, or name another prefix in TAILORBIRD_EVENTS and start a new workspace",
        )
