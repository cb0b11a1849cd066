"""A person's word on purposes as an event: made by whichever door hears it, checked against what the workspace knows."""

import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import CONSENT, Event
from tailorbird.features.consent.consents import RESTRICTION, SAID
from tailorbird.features.history.records import MICROSECONDS
from tailorbird.privacy.policy.tcf import purposes_of

TICK_SECONDS = 1e-6
_is_word = re.compile(r"[a-z][a-z_]{0,23}").fullmatch
OBJECTION: Final = "objection"
Right = Literal["objection", "restriction"]


class ErasedError(TailorbirdError):
    """Nothing of the person is stored, so neither is this word."""


@dataclass(frozen=True)
class Said:
    """What a person allows and refuses, and how it is known: of the text the ``version``, the ``source``, a ``proof``."""

    purposes: Mapping[str, bool]
    version: str = ""
    source: str = ""
    proof: str = ""
    right: Right | Literal[""] = ""
    """By which right of the person, where it is another than to consent or not to."""
    reason: str = ""

    def with_tcf(self, text: str, named: Mapping[str, Sequence[int]]) -> "Said":
        """The same with what a TC string says of the purposes that are not named otherwise; it is the proof where none is given.

        Raises:
            UsageError: it is none, or nobody said which of its numbers make which purpose.
        """
        purposes = {**purposes_of(text, named), **self.purposes}
        return replace(self, purposes=purposes, proof=self.proof or text)

    @classmethod
    def objection(cls, purposes: Collection[str], *, reason: str = "") -> "Said":
        """To some purposes: no basis goes before it."""
        return cls(dict.fromkeys(purposes, False), right=OBJECTION, reason=reason)

    @classmethod
    def restriction(cls, restricted: bool, *, reason: str = "") -> "Said":
        """What is known is kept and used for nothing, until that is lifted."""
        return cls({RESTRICTION: restricted}, right=RESTRICTION, reason=reason)

    def require(self, known: Collection[str]) -> None:
        """Raise UsageError where it names a purpose that is not ``known``, or none at all. Ask before anything is written down."""
        known = {RESTRICTION} if self.right == RESTRICTION else known
        unknown = sorted(set(self.purposes) - set(known))
        if unknown or not self.purposes:
            raise UsageError(
                f"no purpose {_shown(unknown[0])}" if unknown else "no purpose is named",
                remedy=f"name some of {', '.join(sorted(known))}; others are declared in privacy.toml, [purposes]",
            )

    def event(
        self, identifier: str, *, anonymous: bool, known: Collection[str], now: float, newest: int = 0
    ) -> Event:
        """The word of a person (a caller's id), said ``now``.

        ``newest`` (epoch microseconds) is when the last thing was done or said under the same key: a word is about all of it,
        also where a browser's clock ran ahead, or ours was set back.

        Raises:
            UsageError: it names a purpose that is not ``known``, or none at all.
        """
        self.require(known)
        told = {
            "version": self.version,
            "source": self.source,
            "proof": self.proof,
            "right": self.right,
            "reason": self.reason,
        }
        return Event(
            message_id=f"{CONSENT}-{uuid.uuid4()}",
            type=CONSENT,
            event_time=max(now, newest / MICROSECONDS + TICK_SECONDS),
            received_time=now,
            user_id=None if anonymous else identifier,
            anonymous_id=identifier if anonymous else None,
            context={SAID: dict(self.purposes)},
            properties={name: text for name, text in told.items() if text},
        )


def _shown(name: str) -> str:
    """A name as a refusal may repeat it: what is no word of a program may be somebody's."""
    return repr(name) if _is_word(name) else f"is called so, in {len(name):,} characters"
