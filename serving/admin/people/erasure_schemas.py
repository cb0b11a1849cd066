"""What the routes of erasures answer."""

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from serving.http.schemas import Body
from tailorbird.privacy.erasure.receipt import Receipt

State = Literal["pending", "running", "done"]


class PlaceOut(Body):
    """One place: how much was found there of the person, and whether it is erased."""

    name: str
    words: str
    found: int
    state: State


class ModelOut(Body):
    """One version in use, and whether its training data held the person."""

    alias: str
    name: str
    version: str
    held: Literal["yes", "no", "unknown"]
    why: str
    state: str = Field(
        description="What has become of it: `clean`, `trained`, `pending` (counts without them, weights not yet), "
        "`forgotten`, `retrained`, `retired` or `unknown`."
    )
    now: str = Field(description="The version that its alias points at now; empty for none.")


class ReceiptOut(Body):
    """An erasure and how far it is; once `state` is `done` it is signed and changes no more."""

    receipt_id: str
    state: State
    people: list[str] = Field(description="The person's keys; empty until they were looked up.")
    asked_at: dt.datetime
    done_at: dt.datetime | None
    found: int = Field(description="In all places together.")
    places: list[PlaceOut]
    models: list[ModelOut]
    problem: str = Field(description="Why it is not finished yet; it is tried again.")
    signature: str

    @classmethod
    def of(cls, receipt: Receipt) -> "ReceiptOut":
        """A receipt as JSON has it."""
        said = receipt.plain()
        return cls(
            receipt_id=receipt.id,
            state=receipt.state,
            people=list(receipt.people),
            asked_at=_instant(receipt.asked_at),
            done_at=None if receipt.done_at is None else _instant(receipt.done_at),
            found=receipt.found,
            places=[PlaceOut(**each) for each in said["places"]],
            models=[ModelOut(**each) for each in said["models"]],
            problem=receipt.problem,
            signature=receipt.signature,
        )


class ErasureOut(Body):
    """Where to look how far it is."""

    receipt_id: str
    receipt_url: str
    state: State


class WouldGoOut(Body):
    """What an erasure would find now."""

    dry_run: Literal[True] = True
    people: list[str]
    found: int
    places: list[PlaceOut]
    models: list[ModelOut]

    @classmethod
    def of(cls, receipt: Receipt) -> "WouldGoOut":
        """What was looked for, as JSON has it."""
        said: dict[str, Any] = receipt.plain()
        return cls(
            people=list(receipt.people),
            found=receipt.found,
            places=[PlaceOut(**each) for each in said["places"]],
            models=[ModelOut(**each) for each in said["models"]],
        )


class ReceiptsOut(Body):
    """The newest receipts."""

    receipts: list[ReceiptOut]


def _instant(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
