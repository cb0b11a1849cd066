"""The bodies of the admin application, in camelCase."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from serving.http.schemas import Body, whole
from tailorbird.catalog.log.schemas import MOST_PATCHES
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.declared import NAME

Alias = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(max_length=2_000)]
Who = Annotated[
    str, Field(max_length=64, description="Who decides; without it, the user that runs the platform.")
]
Version = Annotated[StrictInt, Field(ge=0), BeforeValidator(whole)]


class PromoteRequest(Body):
    """Move an alias to a version."""

    alias: Alias = CHAMPION
    force: StrictBool = Field(default=False, description="Against the gates; needs a reason.")
    reason: Text = ""
    who: Who = ""
    expected_before: Version | None = Field(
        default=None, description="Refuse if the alias points elsewhere by then; 0 means: at nothing."
    )
    dry_run: StrictBool = Field(
        default=False, description="Put the version through the gates and move nothing."
    )


class RollbackRequest(Body):
    """Return an alias to the version it had before."""

    alias: Alias = CHAMPION
    reason: Text = ""
    who: Who = ""
    expected_before: Version | None = Field(
        default=None, description="Refuse if the alias points elsewhere by then."
    )


class GateResult(Body):
    """One gate and what it found; ``verdict`` is a word of its own only where quality was judged."""

    gate: str
    passed: bool
    verdict: str = ""
    found: str
    remedy: str = ""
    figures: dict[str, Any] = Field(default={})


class Moved(Body):
    """What became of a request to move an alias."""

    alias: str
    version: int
    before: int | None
    moved: bool
    forced: bool = False
    dry_run: bool = False
    verdict: str = ""
    decision: int | None = None
    gates: list[GateResult] = Field(default=[])
    skipped: dict[str, str] = Field(default={}, description="Versions a rollback passed over, and why.")


class Model(Body):
    """A version with its figures."""

    version: int
    aliases: list[str]
    recipe: str = ""
    created: dt.datetime | None = None
    figures: dict[str, float] = Field(default={})
    tags: dict[str, str] = Field(default={})


class Models(Body):
    """Every version, the newest first."""

    name: str
    models: list[Model]


class ModelCard(Model):
    """A version in full: its card (Markdown) and what its bundle says of itself."""

    run_id: str
    card: str
    manifest: dict[str, Any] = Field(default={})
    decisions: list["DecisionOut"] = Field(default=[])


class DecisionOut(Body):
    """One move of an alias: who made it, when, why, on which findings."""

    number: int
    kind: str
    alias: str
    version: int
    before: int | None
    who: str
    when: dt.datetime
    why: str
    verdict: str = ""
    forced: bool = False
    findings: list[dict[str, Any]] = Field(default=[])
    skipped: dict[str, str] = Field(default={})
    run: str = Field(default="", description="The MLflow run that is its record.")


class Decisions(Body):
    """Moves of aliases, the newest first."""

    decisions: list[DecisionOut]


class ReplicaArm(Body):
    """What one live replica serves for an arm; version "" where the champion answers in its place."""

    replica: str
    version: str
    trouble: str = ""


class ArmOut(Body):
    """An arm, the version its alias points at, and what every live replica serves for it."""

    name: str
    alias: str
    version: str | None
    slate: dict[str, Any]
    replicas: list[ReplicaArm]


class ArmsOut(Body):
    """Every declared arm, the champion first; ``problems`` says what is wrong with the declaration."""

    arms: list[ArmOut]
    problems: list[str] = Field(default=[])


class StreamOut(Body):
    """A stream: where it ends and how far its reader is, offsets by partition."""

    name: str
    end: dict[str, int] = Field(default={})
    readers: dict[str, dict[str, int]] = Field(default={})
    lag: dict[str, int] = Field(default={})
    waiting: int = Field(default=0, description="Records that replicas hold and have not stored yet.")
    outcomes: dict[str, int] = Field(default={})
    problem: str = ""


class StreamsOut(Body):
    """The streams of the workspace."""

    streams: list[StreamOut]


class TriggerTarget(Body):
    """Whom moves call, and how that goes."""

    name: str
    url: str = Field(description="Empty where it is not declared any more.")
    calls: list[str] = Field(description="What calls it, in words.")
    waiting: int
    dead: int = Field(description="Given up; `tailorbird triggers replay` tries again.")
    dropped: int = Field(description="Of the dead, so many were dropped: there were too many.")
    next_at: dt.datetime | None = Field(description="When the next delivery is due.")
    problem: str = Field(description="Why it cannot be called; empty where it can.")


class TriggersOut(Body):
    """Every target of triggers; ``problems`` says what is wrong with the declaration."""

    targets: list[TriggerTarget]
    problems: list[str] = Field(default=[])


class ItemsIn(Body):
    """What is told of items, in order."""

    items: list[Any] = Field(min_length=1, max_length=MOST_PATCHES, description="Objects of ItemPatch.")
    batch_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="A batch that comes again under its id changes nothing."
    )


class Refusal(Body):
    """A patch that was not kept: its place in the batch, and why."""

    index: int
    reason: str


class ItemsTold(Body):
    """What became of a batch: everything counted in ``accepted`` is on disk, and known everywhere within seconds."""

    accepted: int
    repeated: bool = Field(default=False, description="The batch had come before.")
    rejected: list[Refusal]
    sequence: int = Field(description="The number of the last patch: what is told later has a greater one.")
    took_ms: float


class Told(Body):
    """What was told is on disk, and known everywhere within seconds."""

    sequence: int
    took_ms: float


class ItemOut(Body):
    """What is known of an item; null is not known."""

    item_id: str
    title: str
    text: str
    categories: list[str]
    brand: str
    price: float | None
    stock: float | None
    launched_at: dt.datetime | None
    deleted_at: dt.datetime | None
    attributes: dict[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "ItemOut":
        """An item as the catalogue's columns have it."""
        known: dict[str, Any] = {
            name: None if value != value else value for name, value in row.items() if isinstance(value, float)
        }
        for name in ("launched_at", "deleted_at"):
            if known.get(name) is not None:
                known[name] = dt.datetime.fromtimestamp(known[name], dt.UTC)
        return cls(**{**row, **known, "attributes": json.loads(row["attributes"])})


class RefusedRow(Body):
    """A row of a file that was not kept, and why."""

    row: int
    reason: str


class Uploaded(Body):
    """What became of a file: ``rowsIn`` = ``accepted`` + ``quarantined`` + ``suppressed``; everything accepted is on disk."""

    rows_in: int
    accepted: int
    quarantined: int
    reasons: dict[str, int] = Field(description="Quarantined rows by the first words of their reason.")
    rejected: list[RefusedRow] = Field(description="The first of them.")
    lost_values: dict[str, int] = Field(
        description="Values by column that say nothing, such as a price that is no number."
    )
    quarantine_files: list[str] = Field(
        description="In the workspace's `quarantine/`: every refused row as it came."
    )
    suppressed: int = Field(default=0, description="Of people who were erased and have not consented anew.")
    sequence: int
    took_ms: float
