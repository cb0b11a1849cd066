"""Moving aliases for operators: one move at a time here, refused where another came first; replicas are told at once."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from registry.gates import Gate
from registry.promote import check, promote, roll_back
from registry.versions import Registry, RegistryError
from serving.admin.schemas import GateResult, Moved, PromoteRequest, RollbackRequest
from serving.http.problems import ProblemError
from serving.notice import Notice
from tailorbird.errors import TailorbirdError

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

    def promote(self, which: str, asked: PromoteRequest) -> Moved:
        """Move an alias to a version that passes its gates, or to any version with ``force`` and a reason."""
        registry = self._registry()
        expected = self._expected(registry, asked.alias, asked.expected_before)
        with self._own_turn():
            self._require(registry, asked.alias, expected)
            if asked.dry_run:
                candidate, current = registry.version(which), registry.alias(asked.alias)
                gates = check(registry, candidate, champion=current)
                before = current.version if current else None
                return _moved(asked.alias, candidate.version, before, gates, moved=False, dry_run=True)
            done = promote(
                registry, which, alias=asked.alias, force=asked.force, reason=asked.reason, now=self._clock()
            )
        if not done.moved and done.before != done.version:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "gates-refuse",
                f"version {done.version} is not promoted to {asked.alias}: "
                + "; ".join(f"{gate.name}: {gate.found}" for gate in done.gates if not gate.passed),
                remedy="mend what the gates found, or promote with force and a reason",
                errors=[_gate(gate).model_dump(mode="json", by_alias=True) for gate in done.gates],
            )
        self._notice.give()
        return _moved(
            asked.alias, done.version, done.before, list(done.gates), moved=done.moved, forced=done.forced
        )

    def roll_back(self, asked: RollbackRequest) -> Moved:
        """Return an alias to the version it had before."""
        registry = self._registry()
        expected = self._expected(registry, asked.alias, asked.expected_before)
        with self._own_turn():
            self._require(registry, asked.alias, expected)
            left, target = roll_back(registry, alias=asked.alias, reason=asked.reason, now=self._clock())
        self._notice.give()
        return _moved(asked.alias, target, left, [], moved=True)

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

    @staticmethod
    def _expected(registry: Registry, alias: str, said: int | None) -> int:
        """What the operator believes the alias points at: what was said, else what it points at on arrival."""
        if said is not None:
            return said
        current = registry.alias(alias)
        return current.version if current else 0

    @staticmethod
    def _require(registry: Registry, alias: str, expected: int) -> None:
        current = registry.alias(alias)
        now = current.version if current else 0
        if now == expected:
            return
        who = current.tags.get(f"{alias}.who", "somebody") if current else "somebody"
        when = current.tags.get(f"{alias}.when", "just now") if current else "just now"
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "moved-before",
            f"{alias} is version {now or 'none'}, not {expected or 'none'}: {who} moved it at {when}",
            remedy="look at GET /v1/decisions and decide again",
        )


def problem_of(error: TailorbirdError) -> ProblemError:
    """A refusal of the registry as an HTTP problem: 404 for what is not there, 422 for what cannot be done."""
    missing = isinstance(error, RegistryError)
    return ProblemError(
        HTTPStatus.NOT_FOUND if missing else HTTPStatus.UNPROCESSABLE_ENTITY,
        "not-found" if missing else "refused",
        error.what,
        remedy=error.remedy,
    )


def _moved(
    alias: str,
    version: int,
    before: int | None,
    gates: list[Gate],
    *,
    moved: bool,
    forced: bool = False,
    dry_run: bool = False,
) -> Moved:
    return Moved(
        alias=alias,
        version=version,
        before=before,
        moved=moved,
        forced=forced,
        dry_run=dry_run,
        gates=[_gate(gate) for gate in gates],
    )


def _gate(gate: Gate) -> GateResult:
    return GateResult(
        name=gate.name,
        passed=gate.passed,
        verdict="passed" if gate.passed else "refused",
        found=gate.found,
        figures=dict(gate.figures),
    )
