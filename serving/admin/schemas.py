"""The bodies of the admin application, in camelCase."""

import datetime as dt
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from serving.http.schemas import Body, whole
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
