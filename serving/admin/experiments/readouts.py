"""The admin application's routes that read experiments and decide them."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.requests import Request
from pydantic import Field, StrictBool, StrictInt

from registry.experiments.deciding import Decided, Wish
from registry.who import whoami
from serving.admin.experiments.turns import Turn
from serving.admin.guard import key_of
from serving.admin.models.moves import Moves
from serving.admin.schemas import Text, Who
from serving.http.problems import ProblemError
from serving.http.schemas import Body, JsonObject
from tailorbird.audit.record import caller
from tailorbird.errors import UsageError
from tailorbird.experiments.declared import NAME
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.settings import Settings

Described = dict[int | str, dict[str, Any]]
Key = Annotated[str, Path(pattern=NAME)]


class DecideRequest(Body):
    """Decide an experiment."""

    winner: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="The variant that won; null for none."
    )
    reason: Annotated[Text, Field(min_length=1)]
    who: Who = ""
    promote: StrictBool = Field(default=True, description="Make the winner's version the champion.")
    revision: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="The state that was seen; after another move nothing happens."
    )


class DecidedOut(Body):
    """What became of it."""

    experiment: str
    state: str
    winner: str | None
    revision: int
    promotion: JsonObject | None = Field(
        default=None, description="Of the winner's version, where it has one."
    )
    todo: str = Field(default="", description="What of the winner is to be written where it lasts.")


def readout_routes(
    app: FastAPI, settings: Settings, moves: Moves, *, turn: Turn, problems: Callable[..., Described]
) -> None:
    """Add the routes. A readout blocks one of admin's threads; others, and checks, wait for their ``turn``."""

    def read(key: str) -> dict[str, Any]:
        from tailorbird.experiments.deciding.told import told_of

        with turn.taken():
            return dict(told_of(settings, key).shown)

    @app.get(
        "/v1/experiments/{key}/readout",
        tags=["experiments"],
        responses=problems(
            (404, "It was never started."),
            (422, "Nobody is in it yet, or a metric is not declared."),
            (503, "Another readout or check is under way."),
        ),
    )
    def readout(key: Key) -> JsonObject:
        """What an experiment has found: figures, verdict, and what one should know before one believes it."""
        _require(settings, key)
        return read(key)

    @app.post(
        "/v1/experiments/{key}:decide",
        tags=["registry"],  # a decision moves the champion: that is for admin alone
        responses=problems(
            (404, "It was never started."),
            (409, "It was decided before, or changed since it was seen."),
            (422, "No such variant, or the gates refuse the winner's version."),
            (503, "The ledger, the registry or the audit log is away."),
        ),
    )
    def decide(key: Key, body: DecideRequest, request: Request) -> DecidedOut:
        """Stop it, promote the winner's version through the gates with the readout as the reason, and write it down."""
        _require(settings, key)
        try:
            said: dict[str, Any] | None = read(key)
        except UsageError:  # nobody came: that is decided too
            said = None
        seen = caller(key_of(request))
        wish = Wish(
            body.winner,
            body.reason,
            body.who or whoami(),
            by=seen,
            revision=body.revision,
            promote=body.promote,
        )
        return _out(moves.decide(key, wish, readout=said))


def _require(settings: Settings, key: str) -> None:
    if Ledger(settings.folder).get(key) is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"experiment {key!r} was never started",
            remedy="GET /v1/experiments lists those that were",
        )


def _out(done: Decided) -> DecidedOut:
    return DecidedOut.model_validate(done.to_dict())
