"""The receipt of an erasure: what was found where, what became of it, and a signature that only this workspace makes."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson

from tailorbird.errors import UsageError

State = Literal["pending", "running", "done"]
ModelFate = Literal["clean", "trained", "unknown", "pending", "forgotten", "retrained", "retired"]
AT_ERASURE: Mapping[str, ModelFate] = {"yes": "trained", "no": "clean", "unknown": "unknown"}


@dataclass(frozen=True)
class PlaceState:
    """One place: how much was ``found`` there of the person, and whether it is erased."""

    name: str
    words: str
    found: int = 0
    state: State = "pending"


@dataclass(frozen=True)
class ModelState:
    """One version that was in use at the erasure: whether its training data held the person, and why we say so.

    ``state`` is what has become of it under its alias, which points at the version ``now`` ("": not looked, or nowhere):
    ``clean`` never held them, ``trained`` holds them, ``pending`` has counts without them and waits to learn without them,
    ``forgotten`` was made of counts and holds nothing any more, ``retrained`` learned from data without them, ``retired``:
    the alias is gone, or back at a version that never held them.
    """

    alias: str
    name: str
    version: str
    held: Literal["yes", "no", "unknown"]
    why: str
    state: ModelFate
    now: str = ""

    @property
    def at_erasure(self) -> ModelFate:
        """The state at the erasure, which alone is signed: what becomes of models later leaves the signature good."""
        return AT_ERASURE[self.held]


@dataclass(frozen=True)
class Receipt:
    """An erasure. Times are epoch seconds; ``people`` are the person's keys, empty until they were looked up."""

    id: str
    person: str
    asked_at: float
    state: State = "pending"
    people: tuple[str, ...] = ()
    places: tuple[PlaceState, ...] = ()
    models: tuple[ModelState, ...] = ()
    looked_for_models: bool = False
    done_at: float | None = None
    problem: str = ""
    signature: str = ""

    @property
    def found(self) -> int:
        """How much was found in all places."""
        return sum(place.found for place in self.places)

    def with_place(self, changed: PlaceState) -> "Receipt":
        """The same with another state of one place."""
        known = [each.name for each in self.places]
        places = tuple(changed if each.name == changed.name else each for each in self.places)
        return replace(self, places=places if changed.name in known else (*places, changed))

    def place(self, name: str) -> PlaceState | None:
        """The state of one place; None where it was not come to yet."""
        return next((each for each in self.places if each.name == name), None)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "people": list(self.people)}

    @classmethod
    def of_plain(cls, said: Mapping[str, Any]) -> "Receipt":
        """Of what :meth:`plain` gave. Raises UsageError where it is none."""
        try:
            return cls(
                **{
                    **said,
                    "people": tuple(said["people"]),
                    "places": tuple(PlaceState(**each) for each in said["places"]),
                    "models": tuple(ModelState(**each) for each in said["models"]),
                }
            )
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"this is no receipt of an erasure: {error}", remedy="give one as it was answered"
            ) from error


def signed(receipt: Receipt, key: bytes) -> Receipt:
    """The receipt with its signature."""
    return replace(receipt, signature=_signature(receipt, key))


def is_signed(receipt: Receipt, key: bytes) -> bool:
    """Whether the signature is of this workspace and nothing was changed since."""
    return hmac.compare_digest(receipt.signature, _signature(receipt, key))


def new_receipt(person: str, *, now: float) -> Receipt:
    """One that nothing was done for yet; its id tells nobody else's."""
    return Receipt(id=f"er_{secrets.token_urlsafe(15)}", person=person, asked_at=now)


def by_state(receipts: Sequence[Receipt]) -> dict[str, int]:
    """How many receipts there are in each state."""
    return {state: sum(each.state == state for each in receipts) for state in ("pending", "running", "done")}


def _signature(receipt: Receipt, key: bytes) -> str:
    plain = replace(receipt, signature="").plain()
    plain["models"] = [
        {**{key: value for key, value in asdict(each).items() if key != "now"}, "state": each.at_erasure}
        for each in receipt.models
    ]
    said = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, said, hashlib.sha256).hexdigest()
