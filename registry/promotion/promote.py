"""Promotion and rollback: a version is judged, then the alias moves with a decision, if nobody else moved it meanwhile."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from registry.following.pointers import RegistryError
from registry.gates.finding import Finding
from registry.gates.gatekeeper import judge, serviceable
from registry.gates.gates import Gates, gates_of
from registry.promotion.aliases import Aliases, check_alias
from registry.promotion.auditing import write_down
from registry.promotion.decisions import PROMOTE, ROLLBACK, Decision
from registry.versions.versions import Registered, Registry
from tailorbird.errors import TailorbirdError, UsageError


class Judge(Protocol):
    """Puts a version through its gates."""

    def __call__(
        self, registry: Registry, candidate: Registered, *, champion: Registered | None, gates: Gates
    ) -> list[Finding]:
        """What each gate found; ``champion`` is the version that the alias points at now."""


class RefusedError(TailorbirdError):
    """A version did not pass its gates."""

    exit_code = 3


@dataclass(frozen=True)
class Order:
    """What somebody wants of an alias: who, when (UTC), why.

    ``force`` overrides the gates and needs a reason. ``expected`` is the version the alias is believed to point at, 0 for
    none; None takes it as it is found. ``by`` is the caller that the platform saw, where it asked for a key; ``who`` is what
    they call themselves.
    """

    alias: str
    who: str
    when: dt.datetime
    reason: str = ""
    force: bool = False
    expected: int | None = None
    by: str = ""

    @property
    def seen(self) -> str:
        """Who it was, for the audit log."""
        return self.by or f"login:{self.who}"


@dataclass(frozen=True)
class Promotion:
    """What became of an order to promote: the findings, and the versions before and after."""

    alias: str
    version: int
    before: int | None
    findings: Sequence[Finding]
    moved: bool
    forced: bool = False
    decision: Decision | None = None

    @property
    def verdict(self) -> str:
        """What quality was found to be; "" where it was not judged."""
        return _verdict(self.findings)

    @property
    def refused(self) -> list[str]:
        """Names of the gates that refuse."""
        return [finding.gate for finding in self.findings if not finding.passed]

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for JSON."""
        return {
            "alias": self.alias,
            "version": self.version,
            "before": self.before,
            "promoted": self.moved,
            "forced": self.forced,
            "verdict": self.verdict,
            "gates": [finding.to_dict() for finding in self.findings],
            "decision": self.decision.number if self.decision else None,
        }

    def require_moved(self) -> None:
        """Raise RefusedError, with what would help, where the gates refused."""
        if self.moved or not self.refused:
            return
        final = any(finding.final and not finding.passed for finding in self.findings)
        remedies = [finding.remedy for finding in self.findings if finding.remedy and not finding.passed]
        raise RefusedError(
            f"version {self.version} is not promoted to {self.alias}: "
            + "; ".join(f"{each.gate}: {each.found}" for each in self.findings if not each.passed),
            remedy="; ".join(remedies + ([] if final else ["--force --reason TEXT overrides the gates"])),
        )


@dataclass(frozen=True)
class Rollback:
    """What a rollback did: the versions left and returned to, and those it passed over with the reasons."""

    alias: str
    version: int
    before: int
    findings: Sequence[Finding]
    decision: Decision
    skipped: Mapping[int, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for JSON."""
        return {
            "alias": self.alias,
            "version": self.version,
            "before": self.before,
            "gates": [finding.to_dict() for finding in self.findings],
            "skipped": {str(version): reason for version, reason in self.skipped.items()},
            "decision": self.decision.number,
        }


def promote(
    registry: Registry,
    which: str,
    *,
    order: Order,
    gates: Gates | None = None,
    judged_by: Judge | None = None,
) -> Promotion:
    """Move the alias to a version that passes its gates, or with ``force`` to any that can be opened.

    ``judged_by`` puts it through them: those of recommenders, unless another is given.

    A refusal is an outcome, not an error: ``require_moved`` makes it one.

    Raises:
        UsageError: ``force`` without a reason, or gates that cannot be read.
        ConflictError: the alias is not where it is believed to be, or somebody else moved it meanwhile.
    """
    check_alias(order.alias)
    if order.force and not order.reason:
        raise UsageError("--force needs a reason", remedy="say why with --reason TEXT; it is recorded")
    candidate, current = registry.version(which), registry.alias(order.alias)
    before = current.version if current else None
    _require_expected(registry, order)
    if before == candidate.version:
        return Promotion(order.alias, candidate.version, before, [], moved=False)
    findings = (judged_by or judge)(
        registry, candidate, champion=current, gates=gates or gates_of(registry.settings)
    )
    refused = [finding for finding in findings if not finding.passed]
    forced = bool(refused) and order.force and not any(finding.final for finding in refused)
    if refused and not forced:
        return Promotion(order.alias, candidate.version, before, findings, moved=False)
    decision = Decision(
        kind=PROMOTE,
        alias=order.alias,
        version=candidate.version,
        before=before,
        who=order.who,
        when=order.when,
        why=order.reason,
        verdict=_verdict(findings),
        forced=forced,
        findings=[finding.to_dict() for finding in findings],
    )
    recorded = Aliases(registry).move(decision)
    write_down(registry.settings, recorded, model=registry.name, by=order.seen)
    return Promotion(
        order.alias, candidate.version, before, findings, moved=True, forced=forced, decision=recorded
    )


def roll_back(registry: Registry, *, order: Order, gates: Gates | None = None) -> Rollback:
    """Return the alias to the nearest version it pointed at before that can still serve; the others are passed over by name.

    Raises:
        RegistryError: the alias is not set, or no earlier version can serve.
        ConflictError: the alias is not where it is believed to be, or somebody else moved it meanwhile.
    """
    check_alias(order.alias)
    aliases, rules = Aliases(registry), gates or gates_of(registry.settings)
    before = registry.aliases().get(order.alias)
    _require_expected(registry, order)
    if before is None:
        raise RegistryError(f"alias {order.alias!r} is not set", remedy="`tailorbird promote` sets it")
    skipped: dict[int, str] = {}
    for version in aliases.earlier(order.alias):
        if version in skipped:
            continue
        findings, trouble = _returnable(registry, version, gates=rules)
        if trouble:
            skipped[version] = trouble
            continue
        decision = Decision(
            kind=ROLLBACK,
            alias=order.alias,
            version=version,
            before=before,
            who=order.who,
            when=order.when,
            why=order.reason,
            findings=[finding.to_dict() for finding in findings],
            skipped={str(number): reason for number, reason in skipped.items()},
        )
        recorded = aliases.move(decision)
        write_down(registry.settings, recorded, model=registry.name, by=order.seen)
        return Rollback(order.alias, version, before, findings, recorded, skipped)
    raise RegistryError(
        f"alias {order.alias!r} points at version {before} and has no earlier version"
        + "".join(f"; version {number} cannot serve: {reason}" for number, reason in skipped.items()),
        remedy="promote another version instead",
    )


def _returnable(registry: Registry, version: int, *, gates: Gates) -> tuple[list[Finding], str]:
    """The findings of an earlier version, and why it cannot serve; "" if it can."""
    try:
        findings = serviceable(registry.version(version), gates=gates)
    except RegistryError as error:
        return [], error.what
    return findings, "; ".join(f"{each.gate}: {each.found}" for each in findings if not each.passed)


def _require_expected(registry: Registry, order: Order) -> None:
    if order.expected is not None:
        Aliases(registry).require_at(order.alias, order.expected or None)


def _verdict(findings: Sequence[Finding]) -> str:
    return next((finding.verdict for finding in findings if finding.verdict), "")
