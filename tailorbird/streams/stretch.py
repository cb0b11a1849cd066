"""A stretch of an archive: the files that hold the rows of neighbouring offsets, and what is known of their times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tailorbird.plumbing.objects import ObjectPath
from tailorbird.streams.stream import Condition


@dataclass(frozen=True, order=True)
class Stretch:
    """Files whose offsets overlap; written by us it is one file. ``last`` is included."""

    first: int
    last: int
    rows: int
    paths: tuple[Path | ObjectPath, ...]
    bounds: tuple[tuple[str, datetime, datetime], ...] = ()
    """(time column, oldest, newest) of the rows, where the table knows."""


def joined(one: Stretch, other: Stretch) -> Stretch:
    """Both as one: their offsets overlap."""
    newer = {name: (oldest, newest) for name, oldest, newest in other.bounds}
    return Stretch(
        min(one.first, other.first),
        max(one.last, other.last),
        one.rows + other.rows,
        (*one.paths, *other.paths),
        tuple(
            (name, min(oldest, newer[name][0]), max(newest, newer[name][1]))
            for name, oldest, newest in one.bounds
        ),
    )


def possible(stretch: Stretch, where: Sequence[Condition]) -> bool:
    """Whether rows of ``stretch`` may meet all conditions, by what is known of their times."""
    known = {name: (oldest.timestamp(), newest.timestamp()) for name, oldest, newest in stretch.bounds}
    for column, operator, value in where:
        if column in known and isinstance(value, int | float):
            oldest, newest = known[column]
            slack = 1.0  # statistics may be cut to milliseconds
            if operator in ("<", "<=") and oldest > value + slack:
                return False
            if operator in (">", ">=") and newest < value - slack:
                return False
    return True
