"""Handovers of a device: the logins and logouts under an anonymous id, and whose turn it was at which instant."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from tailorbird.errors import TailorbirdError
from tailorbird.events.devices import USER

MOST_HANDOVERS = 64
"""Words on one device that are remembered, the newest by (time, message). What was before them is nobody's, where more than
one person ever logged in."""
NOBODY = 0
"""Instead of a user's key: a logout."""
ALWAYS = -(1 << 62), 1 << 62


class Handover(NamedTuple):
    """A login or a logout: when (epoch microseconds), its message's key, and the key of who logged in, or NOBODY."""

    time: int
    message: int
    user: int


class Turn(NamedTuple):
    """A stretch of time from ``start`` on and before ``end``, epoch microseconds, in which a device was one person's."""

    start: int
    end: int

    def covers(self, first: int, last: int) -> bool:
        """Whether all from ``first`` to ``last`` lies within."""
        return self.start <= first and last < self.end


@dataclass(frozen=True)
class Handovers:
    """The newest words on one device, ascending, one more than are remembered where there were more.

    ``users`` are two of those who ever logged in, by key, or the only one. Both are unions: order, batches and repetition
    do not matter.
    """

    words: tuple[Handover, ...] = ()
    users: tuple[int, ...] = ()

    @classmethod
    def of(cls, words: Iterable[Handover]) -> "Handovers":
        """Those of some words."""
        known = sorted(set(words))
        users = sorted({word.user for word in known if word.user != NOBODY})
        return cls(tuple(known[-MOST_HANDOVERS - 1 :]), tuple(users[:2]))

    def __bool__(self) -> bool:
        return bool(self.words)

    def joined(self, other: "Handovers") -> "Handovers":
        """The words of both."""
        if not other or other == self:
            return self
        found = Handovers.of(self.words + other.words)
        return Handovers(found.words, tuple(sorted({*self.users, *other.users})[:2]))

    @property
    def owner(self) -> int:
        """The key of who is logged in now, as of :func:`tailorbird.catalog.keys.stable_key`; NOBODY after a logout, and where nobody ever was."""
        return self.words[-1].user if self.words else NOBODY

    def turns_of(self, user: int) -> list[Turn]:
        """When the device was this user's: from a login to the next word, and before a login since the logout before it."""
        if not self.words:
            return [Turn(*ALWAYS)]
        return _joined(
            turn for turn, owner in zip(self._gaps(), self._owners(), strict=True) if owner == user
        )

    def turn_now(self) -> Turn:
        """Since when the device is whose it is now: since the last logout, or since it was last another's."""
        if not self.words:
            return Turn(*ALWAYS)
        gaps, owners = self._gaps(), self._owners()
        if owners[-1] == NOBODY:
            return gaps[-1]
        return _joined(turn for turn, owner in zip(gaps, owners, strict=True) if owner == owners[-1])[-1]

    def to_json(self) -> list[object]:
        """For the stored row."""
        return [[list(word) for word in self.words], list(self.users)]

    @classmethod
    def from_json(cls, stored: object) -> "Handovers":
        """Read what :meth:`to_json` wrote. Raises ValueError where it is damaged."""
        if not isinstance(stored, list) or len(stored) != 2:
            raise ValueError(f"{stored!r} are no handovers")
        words, users = stored
        return cls(tuple(Handover(*map(int, word)) for word in words), tuple(map(int, users)))

    def _gaps(self) -> list[Turn]:
        """The stretches before, between and after the words."""
        bounds = [ALWAYS[0], *(word.time for word in self.words), ALWAYS[1]]
        return [Turn(start, end) for start, end in itertools.pairwise(bounds)]

    def _owners(self) -> list[int]:
        """Whose each stretch is: of who had logged in, after a logout of who logs in next."""
        users = [NOBODY, *(word.user for word in self.words)]
        owners = [own or after for own, after in zip(users, [*users[1:], NOBODY], strict=True)]
        if len(self.words) > MOST_HANDOVERS:  # what was said before is not known any more
            owners[0] = self.users[0] if len(self.users) == 1 else NOBODY
        return owners


NO_HANDOVERS = Handovers()


def user_in(context: object) -> int:
    """Who logged in, as the context of a ``device_login`` says, an object or its text. Raises TailorbirdError where it does not."""
    try:
        told = orjson.loads(context) if isinstance(context, str) else context
        return int(told[USER])  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise TailorbirdError(
            f"a device_login says {context!r}, and not who logged in",
            remedy="only the platform may write one",
        ) from error


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].end == turn.start:
            found[-1] = Turn(found[-1].start, turn.end)
        else:
            found.append(turn)
    return found
