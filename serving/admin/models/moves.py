"""Moving aliases for operators: one move at a time here, refused where another came first; replicas are told at once."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from registry.experiments.deciding import Decided, Wish, decide
from registry.following.pointers import RegistryAwayError, RegistryError
from registry.gates.finding import Finding
from registry.gates.gatekeeper import judge
from registry.gates.gates import gates_of
from registry.promotion.aliases import ConflictError
from registry.promotion.promote import Order, RefusedError, promote, roll_back
from registry.versions.versions import Registry
from registry.who import whoami
from serving.admin.schemas import GateResult, Moved, PromoteRequest, RollbackRequest
from serving.http.problems import ProblemError
from serving.notice import Notice
from tailorbird.audit.log import AuditAwayError
from tailorbird.audit.record import caller
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.running.entries import StateError
from tailorbird.experiments.running.ledger import LedgerAwayError

TURN_SECONDS = 60.0
"""How long a move waits for the one before it."""


class Moves:
    """Puts versions through the gates and moves aliases."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        *,
        notice: Notice,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._registry, self._notice, self._clock = registry, notice, clock
        self._turn = threading.Lock()

    def promote(self, which: str, asked: PromoteRequest, *, key: str = "") -> Moved:
        """Move an alias to a version that passes its gates, or to any version with ``force`` and a reason."""
        registry = self._registry()
        order = self._order(registry, asked, key=key, force=asked.force)
        with self._own_turn():
            if asked.dry_run:
                return _tried(registry, which, alias=asked.alias)
            done = promote(registry, which, order=order)
        try:
            done.require_moved()
        except RefusedError as error:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "gates-refuse",
                error.what,
                remedy=error.remedy,
                errors=[_gate(found).model_dump(mode="json", by_alias=True) for found in done.findings],
            ) from error
        self._notice.give()
        return Moved(
            alias=asked.alias,
            version=done.version,
            before=done.before,
            moved=done.moved,
            forced=done.forced,
            verdict=done.verdict,
            decision=done.decision.number if done.decision else None,
            gates=[_gate(found) for found in done.findings],
        )

    def roll_back(self, asked: RollbackRequest, *, key: str = "") -> Moved:
        """Return an alias to the nearest version it had before that can still serve."""
        registry = self._registry()
        order = self._order(registry, asked, key=key)
        with self._own_turn():
            done = roll_back(registry, order=order)
        self._notice.give()
        return Moved(
            alias=asked.alias,
            version=done.version,
            before=done.before,
            moved=True,
            decision=done.decision.number,
            gates=[_gate(found) for found in done.findings],
            skipped={str(version): why for version, why in done.skipped.items()},
        )

    def announce(self) -> None:
        """Have replicas look at once."""
        self._notice.give()

    def decide(self, key: str, wish: Wish, *, readout: Mapping[str, Any] | None) -> Decided:
        """Decide an experiment, in the turn of the moves: a winner's version becomes the champion."""
        with self._own_turn():
            done = decide(self._registry().settings, key, wish, readout=readout)
        self._notice.give()
        return done

    def _order(
        self, registry: Registry, asked: PromoteRequest | RollbackRequest, *, key: str, force: bool = False
    ) -> Order:
        """What is asked; without a word of what the alias is believed to point at, it is what it points at on arrival."""
        expected = asked.expected_before
        if expected is None:
            expected = registry.aliases().get(asked.alias, 0)
        return Order(
            asked.alias,
            asked.who or whoami(),
            self._clock(),
            reason=asked.reason,
            force=force,
            expected=expected,
            by=caller(key) if key else "",
        )

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "busy",
                f"another move of an alias has been under way for {TURN_SECONDS:.0f} s",
                remedy="try again when it is done; GET /v1/decisions tells",
            )
        try:
            yield
        finally:
            self._turn.release()


def problem_of(error: TailorbirdError) -> ProblemError:
    """What the registry refuses, as an HTTP problem: somebody was first, it is away, it lacks what was named, or no."""
    for kind, status, name in (
        (AuditAwayError, HTTPStatus.SERVICE_UNAVAILABLE, "audit-away"),
        (ConflictError, HTTPStatus.CONFLICT, "moved-before"),
        (StateError, HTTPStatus.CONFLICT, "moved-before"),
        (LedgerAwayError, HTTPStatus.SERVICE_UNAVAILABLE, "ledger-away"),
        (RegistryAwayError, HTTPStatus.SERVICE_UNAVAILABLE, "registry-away"),
        (RegistryError, HTTPStatus.NOT_FOUND, "not-found"),
    ):
        if isinstance(error, kind):
            return ProblemError(status, name, error.what, remedy=error.remedy)
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", error.what, remedy=error.remedy)


def _tried(registry: Registry, which: str, *, alias: str) -> Moved:
    """Put a version through the gates and move nothing."""
    candidate, current = registry.version(which), registry.alias(alias)
    findings = judge(registry, candidate, champion=current, gates=gates_of(registry.settings))
    return Moved(
        alias=alias,
        version=candidate.version,
        before=current.version if current else None,
        moved=False,
        dry_run=True,
        verdict=next((found.verdict for found in findings if found.verdict), ""),
        gates=[_gate(found) for found in findings],
    )


def _gate(found: Finding) -> GateResult:
    return GateResult.model_validate(found.to_dict())
