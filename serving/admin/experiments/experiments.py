"""The admin application's routes of experiments: what is declared and runs, and who moves it."""

import datetime as dt
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path
from fastapi.requests import Request
from pydantic import Field

from serving.admin.experiments.turns import Turn
from serving.admin.guard import key_of
from serving.http.problems import ProblemError
from serving.http.schemas import Body, JsonObject
from tailorbird.audit.record import caller
from tailorbird.experiments.declared import NAME
from tailorbird.experiments.design.experiment import HELD, Experiment
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.launching import LARGEST_FILE, Launcher, Standing
from tailorbird.experiments.running.plans import allocations_now, salt_of

Described = dict[int | str, dict[str, Any]]
Key = Annotated[str, Path(pattern=NAME)]
Reason = Annotated[str, Field(max_length=2_000)]
Revision = Annotated[
    int | None,
    Field(default=None, ge=1, description="The state that was seen; after another move nothing happens."),
]


_SPLIT = ("ab", "multivariate", "canary", "bandit")


class StepOut(Body):
    """One thing that was done."""

    at: dt.datetime
    who: str
    did: str
    share: float = Field(description="Of its layer, afterwards.")
    reason: str


class AssignmentOut(Body):
    """What splits units as the platform does now: an element of what `assigned` of the browser SDK takes."""

    key: str
    layer: str
    salt: str = Field(description="Of a bandit the one of its last renewal.")
    variants: list[str]
    weights: list[float] = Field(description="Of a bandit the parts of its last renewal.")
    buckets: list[tuple[int, int]]
    holdouts: list["AssignmentOut"] = Field(
        default=[], description=f"Running holdouts: whoever is {HELD!r} in one of them takes no part."
    )

    @classmethod
    def of(cls, entry: Entry, holdouts: Sequence[Entry] | None) -> "AssignmentOut | None":
        """Of a running experiment whose variants follow from the unit alone, beside the ``holdouts`` that run; None of others."""
        said = entry.experiment
        if holdouts is None or entry.state != "running" or said.kind not in _SPLIT:
            return None
        if not _by_unit_alone(said, holdouts):
            return None
        return cls._of(entry, holdouts=[cls._of(each) for each in holdouts])

    @classmethod
    def _of(cls, entry: Entry, *, holdouts: Sequence["AssignmentOut"] = ()) -> "AssignmentOut":
        said = entry.experiment
        (weights,) = allocations_now(entry)
        return cls(
            key=entry.key,
            layer=said.layer,
            salt=salt_of(entry),
            variants=[each.name for each in said.variants],
            weights=list(weights),
            buckets=[(each.start, each.end) for each in entry.buckets],
            holdouts=list(holdouts),
        )


def _by_unit_alone(said: Experiment, holdouts: Sequence[Entry]) -> bool:
    """Whether nothing but the unit decides, which holdouts hold by the same name or not at all."""
    if said.unit == "request" or said.audience:
        return False
    return all(each.experiment.unit == said.unit and not each.experiment.audience for each in holdouts)


class ExperimentOut(Body):
    """An experiment, and how it stands."""

    key: str
    state: Literal["draft", "running", "stopped", "decided"]
    kind: str = ""
    hypothesis: str = ""
    layer: str = ""
    unit: str = ""
    share: float | None = Field(
        default=None, description="The part of its layer that it holds, or begins with."
    )
    variants: list[str] = Field(default=[])
    digest: str = ""
    revision: int | None = None
    started: dt.datetime | None = None
    stopped: dt.datetime | None = None
    decided: dt.datetime | None = None
    verdict: str = ""
    steps: list[StepOut] = Field(default=[])
    assignment: AssignmentOut | None = Field(
        default=None, description="While it runs and units alone decide: how they are split now."
    )
    trouble: str = ""

    @classmethod
    def of(cls, standing: Standing, holdouts: Sequence[Entry] | None = ()) -> "ExperimentOut":
        """As JSON has it, beside the ``holdouts`` that run."""
        said, entry = standing.experiment, standing.entry
        known = cls(key=standing.key, state=standing.state, trouble=standing.trouble)  # type: ignore[arg-type]
        if said is not None:
            known = known.model_copy(
                update={
                    "kind": said.kind,
                    "hypothesis": said.hypothesis,
                    "layer": said.layer,
                    "unit": said.unit,
                    "share": said.share,
                    "variants": [each.name for each in said.variants],
                    "digest": said.digest,
                }
            )
        return known if entry is None else known.model_copy(update=_of_entry(entry, holdouts))


def _of_entry(entry: Entry, holdouts: Sequence[Entry] | None) -> dict[str, Any]:
    return {
        "share": entry.share,
        "revision": entry.revision,
        "started": _instant(entry.started),
        "stopped": _instant(entry.stopped),
        "decided": _instant(entry.decided),
        "verdict": entry.verdict,
        "assignment": AssignmentOut.of(entry, holdouts),
        "steps": [
            StepOut(
                at=dt.datetime.fromtimestamp(each.at, dt.UTC),
                who=each.who,
                did=each.did,
                share=each.share,
                reason=each.reason,
            )
            for each in entry.steps
        ],
    }


def _instant(seconds: float | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


class ExperimentsOut(Body):
    """All experiments of the workspace."""

    experiments: list[ExperimentOut]


class DeclareRequest(Body):
    """A new experiment."""

    key: Annotated[str, Field(pattern=NAME)]
    declaration: str = Field(max_length=LARGEST_FILE, description="TOML, as in `experiments/KEY.toml`.")


class StartRequest(Body):
    """Start an experiment."""

    reason: Reason = ""


class StopRequest(StartRequest):
    """Stop a running one."""

    revision: Revision


class RampRequest(StopRequest):
    """Give a running one another share of its layer."""

    share: Annotated[float, Field(gt=0, le=1)]


class FindingOut(Body):
    """One thing that was looked at before the start."""

    level: Literal["refused", "warning", "fine"]
    about: str
    words: str
    remedy: str


class CheckedOut(Body):
    """What an experiment is worth before it starts."""

    key: str
    digest: str
    startable: bool
    findings: list[FindingOut]


def experiment_routes(
    app: FastAPI, launcher: Launcher, *, turn: Turn, problems: Callable[..., Described]
) -> None:
    """Add the routes; who moves what stands in the ledger and in the audit log. Checks read weeks: they wait for their ``turn``."""
    described = problems(
        (404, "No such experiment."),
        (409, "Somebody was first, or it is in another state."),
        (422, "The declaration, or something that runs, refuses it."),
        (503, "The ledger or the audit log is away, or another check or readout is under way."),
    )

    def standing(key: str) -> ExperimentOut:
        return ExperimentOut.of(launcher.standing(key), launcher.holdouts())

    def moved(move: Callable[[], object], key: str) -> ExperimentOut:
        move()
        return standing(key)

    @app.get("/v1/experiments", tags=["experiments"], responses=described)
    def experiments() -> ExperimentsOut:
        """Those that were ever started, in that order, then the drafts."""
        holdouts = launcher.holdouts()
        return ExperimentsOut(experiments=[ExperimentOut.of(each, holdouts) for each in launcher.standings()])

    @app.post("/v1/experiments", tags=["experiments"], status_code=201, responses=described)
    def declare(body: DeclareRequest, request: Request) -> ExperimentOut:
        """Write a declaration: a draft, until it is started."""
        return ExperimentOut.of(launcher.declare(body.key, body.declaration, who=caller(key_of(request))))

    @app.get("/v1/experiments/{key}", tags=["experiments"], responses=described)
    def show(key: Key) -> ExperimentOut:
        """One experiment, with everything that was done."""
        _require(launcher, key)
        return standing(key)

    @app.get("/v1/experiments/{key}/declaration", tags=["experiments"], responses=described)
    def declaration(key: Key) -> JsonObject:
        """What was declared when it started; of a draft what its file says now."""
        _require(launcher, key)
        return dict(launcher.declaration(key))

    @app.post("/v1/experiments/{key}:check", tags=["experiments"], responses=described)
    def check(key: Key, body: StartRequest) -> CheckedOut:
        """What would refuse it, and what is worth knowing before it starts."""
        _require(launcher, key)
        with turn.taken():
            experiment, findings = launcher.check(key)
        return CheckedOut(
            key=key,
            digest=experiment.digest,
            startable=not any(each.level == "refused" for each in findings),
            findings=[
                FindingOut(level=each.level, about=each.about, words=each.words, remedy=each.remedy)
                for each in findings
            ],
        )

    @app.post("/v1/experiments/{key}:start", tags=["experiments"], responses=described)
    def start(key: Key, body: StartRequest, request: Request) -> ExperimentOut:
        """Let it run; replicas follow at once."""
        _require(launcher, key)
        who = caller(key_of(request))
        return moved(lambda: launcher.start(key, who=who, reason=body.reason), key)

    @app.post("/v1/experiments/{key}:ramp", tags=["experiments"], responses=described)
    def ramp(key: Key, body: RampRequest, request: Request) -> ExperimentOut:
        """Give it another share of its layer; nobody moves who is in before and after."""
        _require(launcher, key)
        who = caller(key_of(request))
        return moved(
            lambda: launcher.ramp(key, body.share, who=who, revision=body.revision, reason=body.reason), key
        )

    @app.post("/v1/experiments/{key}:stop", tags=["experiments"], responses=described)
    def stop(key: Key, body: StopRequest, request: Request) -> ExperimentOut:
        """End it: the champion answers everybody."""
        _require(launcher, key)
        who = caller(key_of(request))
        return moved(lambda: launcher.stop(key, who=who, revision=body.revision, reason=body.reason), key)


def _require(launcher: Launcher, key: str) -> None:
    if not launcher.knows(key):
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"no experiment {key!r}",
            remedy="GET /v1/experiments lists them; POST /v1/experiments declares one",
        )
