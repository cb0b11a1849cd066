"""What the platform answers, as plain frozen values. What a newer platform says beside that is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CLIENT_FALLBACK = "client"
"""The ``fallback`` of an answer that the application made itself."""


@dataclass(frozen=True)
class Item:
    """One answered item; ``sources`` proposed it, ``reasons`` are there where the question said ``explain``."""

    item_id: str
    score: float = 0.0
    sources: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recommendations:
    """Items, best first. ``fallback`` names what stood in for the model; ``cursor`` asks for the next page.

    Where the question said ``explain``, ``segment`` is the key of the person's segment, "" where too little was seen of them,
    and ``rules`` are the keys of the written rules that hold.
    """

    items: tuple[Item, ...]
    recommendation_id: str = ""
    model: str = ""
    version: str = ""
    arm: str = ""
    fallback: str | None = None
    partial: bool = False
    cursor: str | None = None
    segment: str | None = None
    rules: tuple[str, ...] = ()

    @property
    def item_ids(self) -> list[str]:
        """The ids, best first."""
        return [item.item_id for item in self.items]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Recommendations":
        """Read the platform's JSON."""
        return cls(
            items=tuple(
                Item(
                    str(each["itemId"]),
                    float(each["score"]),
                    tuple(each.get("sources", ())),
                    tuple(each.get("reasons", ())),
                )
                for each in raw["items"]
            ),
            recommendation_id=str(raw["recommendationId"]),
            model=str(raw["model"]["name"]),
            version=str(raw["model"]["version"]),
            arm=str(raw.get("arm", "")),
            fallback=raw.get("fallback"),
            partial=bool(raw.get("partial", False)),
            cursor=raw.get("cursor"),
            segment=(raw.get("segment") or {}).get("key"),
            rules=tuple(str(each["key"]) for each in raw.get("rules") or ()),
        )

    @classmethod
    def own(cls, item_ids: Sequence[str]) -> "Recommendations":
        """What the application answers itself while the platform is away."""
        return cls(tuple(Item(item_id) for item_id in item_ids), fallback=CLIENT_FALLBACK, partial=True)


@dataclass(frozen=True)
class Note:
    """A remark on one event of a batch: ``index`` is its place there."""

    index: int
    reason: str


@dataclass(frozen=True)
class Collected:
    """What became of events: those ``accepted`` are stored for good, ``duplicates`` were before, ``rejected`` never will be."""

    accepted: int = 0
    duplicates: int = 0
    rejected: tuple[Note, ...] = ()
    profile_delayed: bool = False

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Collected":
        """Read the platform's JSON."""
        return cls(
            int(raw["accepted"]),
            int(raw["duplicates"]),
            tuple(Note(int(each["index"]), str(each["reason"])) for each in raw.get("rejected", ())),
            bool(raw.get("profileDelayed", False)),
        )


@dataclass(frozen=True)
class Consented:
    """What a person was heard to allow and refuse, by purpose."""

    user_id: str
    purposes: Mapping[str, bool]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Consented":
        """Read the platform's JSON."""
        return cls(str(raw["userId"]), {str(name): bool(given) for name, given in raw["purposes"].items()})


@dataclass(frozen=True)
class Linked:
    """Whether an anonymous id belongs to a user now."""

    user_id: str
    anonymous_id: str
    merged: bool

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Linked":
        """Read the platform's JSON."""
        return cls(str(raw["userId"]), str(raw["anonymousId"]), bool(raw["merged"]))
