"""A position: how far a reader of a stream has come, partition by partition."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson

from tailorbird.errors import TailorbirdError


@dataclass(frozen=True)
class Position:
    """The offset of the last record read in each partition; a partition that is absent was never read.

    Offsets grow within a partition and may have holes (a broker's control records, an erased person): so a position
    is compared and advanced, never counted.
    """

    offsets: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", MappingProxyType(dict(sorted(self.offsets.items()))))

    def __getitem__(self, partition: int) -> int:
        """The last offset read in ``partition``; -1 where nothing was."""
        return self.offsets.get(partition, -1)

    def __iter__(self) -> Iterator[int]:
        return iter(self.offsets)

    def __hash__(self) -> int:
        return hash(tuple(self.offsets.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and dict(self.offsets) == dict(other.offsets)

    def holds(self, partition: int, offset: int) -> bool:
        """Whether the record at ``offset`` of ``partition`` lies at or before this position."""
        return offset <= self[partition]

    def advanced(self, partition: int, offset: int) -> "Position":
        """The position after the record at ``offset`` was read too; never goes back."""
        return Position({**self.offsets, partition: max(offset, self[partition])})

    def joined(self, other: "Position") -> "Position":
        """The farther of the two in every partition."""
        return Position({each: max(self[each], other[each]) for each in {*self.offsets, *other.offsets}})

    def reaches(self, other: "Position") -> bool:
        """Whether everything up to ``other`` was read."""
        return all(self[partition] >= other[partition] for partition in other)

    def to_text(self) -> str:
        """Write it as JSON: partition to offset."""
        return orjson.dumps({str(partition): offset for partition, offset in self.offsets.items()}).decode()

    @classmethod
    def from_text(cls, text: str) -> "Position":
        """Read what :meth:`to_text` wrote.

        Raises:
            TailorbirdError: it is no position.
        """
        try:
            return cls({int(partition): int(offset) for partition, offset in orjson.loads(text).items()})
        except (ValueError, AttributeError, TypeError) as error:
            raise TailorbirdError(
                f"{text!r} is no position: {error}", remedy="it maps partitions to offsets, as JSON"
            ) from error


BEGINNING = Position()
"""Before the first record."""
