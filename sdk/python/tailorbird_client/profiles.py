"""A person as the platform knows them: what ``profile`` answers, as plain frozen values."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Window:
    """What happened in the last ``seconds``; not ``complete``: at least so much."""

    seconds: float
    events: int
    items: int
    types: Mapping[str, int]
    spent: float
    complete: bool


@dataclass(frozen=True)
class Taste:
    """A category or brand and its share of what the person showed liking for; None where today's catalogue lacks its name."""

    name: str | None
    share: float


@dataclass(frozen=True)
class Past:
    """One event of the history."""

    at: dt.datetime
    type: str
    item_id: str | None
    value: float | None


@dataclass(frozen=True)
class Demographics:
    """What a person told, or was told of them."""

    age: float | None
    gender: str
    country: str


@dataclass(frozen=True)
class Rule:
    """A written rule that holds of the person."""

    key: str
    name: str


@dataclass(frozen=True)
class Membership:
    """How much of a segment the person is."""

    key: str
    name: str
    share: float


@dataclass(frozen=True)
class Segment:
    """The learned segment; ``key`` "" where too little was seen. ``evidence`` is its lead over the second, in nats.

    ``incumbent`` is what is usual for the person: another key after a move.
    """

    key: str
    name: str
    evidence: float
    incumbent: str
    memberships: tuple[Membership, ...]
    model_version: str


@dataclass(frozen=True)
class Profile:
    """A person at the instant ``at``. ``version`` changes with every event.

    ``segment`` is None while no segment model is promoted, ``rules`` are the written ones that hold, ``price`` is the usual
    range, ``had`` counts the items met, ``hidden`` are never shown again, ``features`` are what models are given.
    """

    user_key: str
    linked: tuple[str, ...]
    at: dt.datetime
    version: str
    events: int
    first_seen: dt.datetime | None
    last_seen: dt.datetime | None
    demographics: Demographics
    segment: Segment | None
    rules: tuple[Rule, ...]
    windows: Mapping[str, Window]
    categories: tuple[Taste, ...]
    brands: tuple[Taste, ...]
    price: tuple[float, float] | None
    last_events: tuple[Past, ...]
    had: int
    hidden: tuple[str, ...]
    features: Mapping[str, float]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Profile":
        """Read the platform's JSON."""
        told, price = raw["demographics"], raw["price"]
        return cls(
            user_key=str(raw["userKey"]),
            linked=tuple(raw["linked"]),
            at=dt.datetime.fromisoformat(raw["at"]),
            version=str(raw["version"]),
            events=int(raw["events"]),
            first_seen=_instant(raw["firstSeen"]),
            last_seen=_instant(raw["lastSeen"]),
            demographics=Demographics(told["age"], str(told["gender"]), str(told["country"])),
            segment=None if raw["segment"] is None else _segment(raw["segment"]),
            rules=tuple(Rule(str(each["key"]), str(each["name"])) for each in raw.get("rules", ())),
            windows={name: _window(each) for name, each in raw["windows"].items()},
            categories=_tastes(raw["categories"]),
            brands=_tastes(raw["brands"]),
            price=None if price is None else (float(price["low"]), float(price["high"])),
            last_events=tuple(_past(each) for each in raw["lastEvents"]),
            had=int(raw["had"]),
            hidden=tuple(raw["hidden"]),
            features={name: float(value) for name, value in raw["features"].items()},
        )


def _instant(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def _segment(raw: Mapping[str, Any]) -> Segment:
    return Segment(
        key=str(raw["key"]),
        name=str(raw["name"]),
        evidence=float(raw["evidence"]),
        incumbent=str(raw["incumbent"]),
        memberships=tuple(
            Membership(str(each["key"]), str(each["name"]), float(each["share"]))
            for each in raw["memberships"]
        ),
        model_version=str(raw["modelVersion"]),
    )


def _window(raw: Mapping[str, Any]) -> Window:
    return Window(
        float(raw["seconds"]),
        int(raw["events"]),
        int(raw["items"]),
        dict(raw["types"]),
        float(raw["spent"]),
        bool(raw["complete"]),
    )


def _tastes(raw: Any) -> tuple[Taste, ...]:
    return tuple(Taste(each["name"], float(each["share"])) for each in raw)


def _past(raw: Mapping[str, Any]) -> Past:
    return Past(dt.datetime.fromisoformat(raw["at"]), str(raw["type"]), raw["itemId"], raw["value"])
