"""One entry of the audit log and its hash, which holds all of it and the hash of the entry before."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BEGINNING = "0" * 64
"""What the first entry follows."""
_DOMAIN = b"tailorbird audit 1\0"


@dataclass(frozen=True)
class Entry:
    """Who did what to whom, when (UTC, ISO 8601); ``whom`` and ``detail`` name people by keyed hashes alone."""

    number: int
    at: str
    who: str
    what: str
    whom: str
    detail: str
    previous: str
    hash: str = ""

    @property
    def digest(self) -> str:
        """The hash that belongs to what stands here: SHA-256 of all fields, each told apart, with the hash before.

        A chain as of Schneier and Kelsey, "Secure audit logs to support computer forensics" (1999). A tree (RFC 6962) would
        prove an entry to somebody who has not the log; whoever checks this one has all of it.
        """
        told = [self.number, self.at, self.who, self.what, self.whom, self.detail, self.previous]
        return hashlib.sha256(
            _DOMAIN + json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()
        ).hexdigest()

    def sealed(self) -> "Entry":
        """The same with its hash."""
        return replace(self, hash=self.digest)

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "number": self.number,
            "at": self.at,
            "who": self.who,
            "what": self.what,
            "whom": self.whom,
            "detail": json.loads(self.detail),
            "hash": self.hash,
        }


@dataclass(frozen=True)
class Head:
    """The newest entry as one notes it elsewhere: whoever has it later knows whether the log up to there is still the same."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read what ``str`` wrote. Raises ValueError where it is no head."""
        number, colon, digest = text.strip().partition(":")
        if not (
            colon and number.isascii() and number.isdigit() and len(digest) == 64 and int(digest, 16) >= 0
        ):
            raise ValueError(f"{text!r} is no head")
        return cls(int(number), digest.lower())


def instant(seconds: float) -> str:
    """Epoch seconds as an entry has them."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")


def canonical(detail: Mapping[str, Any]) -> str:
    """Details as an entry has them: the same text for the same values."""
    return json.dumps(detail, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
