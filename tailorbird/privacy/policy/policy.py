"""A workspace's ``privacy.toml``: what is done with texts that may be personal, and which are declared not to be."""

import datetime as dt
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailorbird.errors import UsageError
from tailorbird.features.consent.consents import ADVERTISING, ANALYTICS, PURPOSES, RESTRICTION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.privacy.door.minimise import NOTHING_DECLARED, Declared
from tailorbird.privacy.policy.retention import Ages, AgesTable, Retention
from tailorbird.privacy.policy.rules import Basis, Rule
from tailorbird.privacy.policy.tcf import PURPOSES as TCF_PURPOSES
from tailorbird.settings import Settings

POLICY_FILE = "privacy.toml"
Texts = Literal["seal", "drop"]
Purpose = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


BasisName = Literal[
    "consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"
]
BASES: tuple[str, ...] = get_args(BasisName)


class _Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    personal: Texts = "seal"
    context: list[str] = Field(default=[], max_length=256)
    properties: list[str] = Field(default=[], max_length=256)
    users: list[str] = Field(default=[], max_length=256)


class _Basis(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BasisName
    purposes: list[Purpose] = Field(default=[], max_length=64)


class _Purposes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[Purpose] = Field(default=[], max_length=64)


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    country: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(default=[], max_length=256)
    age_below: float | None = Field(default=None, gt=0, le=150)
    purposes: list[Purpose] = Field(max_length=64)


class _Signals(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    do_not_track: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: _Texts = _Texts()
    basis: _Basis | None = None
    purposes: _Purposes = _Purposes()
    signals: _Signals = _Signals()
    rules: list[_Rule] = Field(default=[], max_length=256)
    tcf: dict[
        Purpose, Annotated[list[Annotated[int, Field(ge=1, le=TCF_PURPOSES)]], Field(min_length=1)]
    ] = {}
    retention: AgesTable = Ages()
    taken_back: dict[Purpose, dt.datetime | dt.date] = {}


@dataclass(frozen=True)
class Policy:
    """What a workspace decided.

    ``personal``: texts that may be personal are sealed under the person's key, or dropped. ``purposes`` are those on which people
    may have a word. ``basis`` is the legal basis of what is stored of people who have none, "" where it is not declared.
    ``do_not_track``: a browser's ``DNT: 1`` turns off what ``Sec-GPC: 1`` does, and analytics.
    ``retention``: how long what is kept. ``rules`` narrow the basis by country and age. ``tcf``: which numbers of a TC string
    make which purpose. ``taken_back``: before which instant (epoch seconds) no basis covers a purpose any more, of those whose
    basis was taken back.
    """

    personal: Texts = "seal"
    declared: Declared = NOTHING_DECLARED
    purposes: frozenset[str] = frozenset(PURPOSES)
    basis: str = ""
    basis_purposes: tuple[str, ...] = ()
    do_not_track: bool = False
    retention: Retention = field(default_factory=Retention)
    rules: tuple[Rule, ...] = ()
    tcf: Mapping[str, Sequence[int]] = field(default_factory=dict)
    taken_back: Mapping[str, float] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """What is to be said of a workspace that declares no legal basis; "" where it does."""
        if self.basis:
            return ""
        return (
            "no legal basis is declared for people who said nothing: what they do is kept for their export, serves no purpose, "
            f"and their answers are those for everybody; write [basis] into {POLICY_FILE} where there is one (docs/privacy.md)"
        )

    @property
    def covers(self) -> Basis:
        """Which purposes what is done by somebody who said nothing may serve."""
        return Basis(frozenset(self.basis_purposes), self.rules)

    def taken_back_us(self, purpose: str) -> int:
        """Before which instant (epoch microseconds) no basis covers a purpose any more."""
        instant = self.taken_back.get(purpose)
        return ALWAYS[0] if instant is None else round(instant * 1e6)

    def turned_off(self, *, gpc: bool, dnt: bool) -> tuple[str, ...]:
        """The purposes that a browser's signals refuse."""
        if dnt and self.do_not_track:
            return ADVERTISING, ANALYTICS
        return (ADVERTISING,) if gpc else ()


DEFAULT = Policy()
PolicyNow = Callable[[], Policy]
"""What a workspace decided, as its files say now (:class:`tailorbird.privacy.policy.policy_file.PolicyFile`)."""


def by_default() -> Policy:
    """Of a workspace that decided nothing."""
    return DEFAULT


def read_policy(settings: Settings) -> Policy:
    """The policy of a workspace; what its own file does not say, by table, is the machine's. Raises UsageError on a wrong one."""
    path, shared = settings.folder / POLICY_FILE, {}
    if settings.privacy:
        shared = _read(Path(settings.privacy), needed=True)
    tree = {**shared, **_read(path, needed=False)}
    try:
        said = _File.model_validate(tree)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        said_wrong = wrong["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: {where}: {said_wrong}", remedy="see docs/privacy.md") from error
    return _policy(said, path)


def _read(path: Path, *, needed: bool) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not needed:
            return {}
        raise UsageError(
            f"TAILORBIRD_PRIVACY names {path}, which is not there", remedy="write it (docs/privacy.md)"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy="see docs/privacy.md") from error


def _policy(said: _File, path: Path) -> Policy:
    texts = said.texts
    declared = Declared(frozenset(texts.context), frozenset(texts.properties), frozenset(texts.users))
    basis = said.basis
    if RESTRICTION in said.purposes.names:
        raise UsageError(
            f"{path}: purposes.names: {RESTRICTION!r} is a state of people, no purpose",
            remedy="give the purpose another name",
        )
    purposes = frozenset(PURPOSES) | set(said.purposes.names)
    named = {"basis.purposes": set(basis.purposes) if basis else set(), "tcf": set(said.tcf)}
    named |= {"retention.purposes": set(said.retention.purposes), "taken_back": set(said.taken_back)}
    named |= {f"rules.{number}.purposes": set(rule.purposes) for number, rule in enumerate(said.rules)}
    for where, names in named.items():
        if unknown := sorted(names - purposes):
            raise UsageError(
                f"{path}: {where}: {unknown[0]!r} is no purpose",
                remedy=f"name some of {', '.join(sorted(purposes))}, or declare it under [purposes]",
            )
    return Policy(
        texts.personal,
        declared,
        purposes,
        basis.name if basis else "",
        tuple(basis.purposes) if basis else (),
        said.signals.do_not_track,
        _retention(said.retention, purposes),
        tuple(
            Rule(frozenset(map(str.casefold, rule.country)), rule.age_below, frozenset(rule.purposes))
            for rule in said.rules
        ),
        {name: tuple(numbers) for name, numbers in said.tcf.items()},
        {name: _instant(when) for name, when in said.taken_back.items()},
    )


def _instant(when: dt.datetime | dt.date) -> float:
    """Epoch seconds; a day is its beginning, and UTC where it is not said."""
    told = when if isinstance(when, dt.datetime) else dt.datetime.combine(when, dt.time())
    return (told if told.tzinfo else told.replace(tzinfo=dt.UTC)).timestamp()


def _retention(ages: Ages, purposes: frozenset[str]) -> Retention:
    """What serves none of ``purposes`` any more may go: once each of them has an age."""
    last_use = max(ages.purposes.values()) if ages.purposes.keys() == purposes else None
    return Retention(ages.days, ages.purposes, last_use)
