"""Moves of aliases in the audit log: each with the digest of its decision, so that the registry's word can be held against it."""

from collections.abc import Iterable, Mapping

from registry.promotion.decisions import PROMOTE, Decision
from tailorbird.audit import record
from tailorbird.audit.entry import Entry
from tailorbird.audit.log import AuditAwayError
from tailorbird.audit.record import PROMOTE as PROMOTED
from tailorbird.audit.record import ROLLBACK as ROLLED_BACK
from tailorbird.audit.verify import Finding
from tailorbird.settings import Settings


def write_down(settings: Settings, decision: Decision, *, model: str, by: str) -> None:
    """Write down a move that was made; ``by`` is who was seen to make it.

    Raises:
        AuditAwayError: that failed; the alias has moved.
    """
    try:
        record(
            settings,
            who=by,
            what=PROMOTED if decision.kind == PROMOTE else ROLLED_BACK,
            whom=decision.alias,
            detail={
                "model": model,
                "version": decision.version,
                "decision": decision.number,
                "digest": decision.digest,
            },
        )
    except AuditAwayError as error:
        raise AuditAwayError(
            f"{decision.alias} points at version {decision.version} now, and that could not be written down: {error.what}",
            remedy="`tailorbird decisions` tells of it; mend the file of the audit log",
        ) from error


def compare(entries: Iterable[Entry], decisions: Mapping[str, Iterable[Decision]]) -> list[Finding]:
    """What the registry says otherwise than the log, by model; the log does not know who moved what from another machine."""
    known = {
        (model, decision.number): decision.digest for model, made in decisions.items() for decision in made
    }
    found = []
    for entry in entries:
        if entry.what not in (PROMOTED, ROLLED_BACK):
            continue
        told = entry.plain()["detail"]
        name = f"decision {told['decision']} of {told['model']}"
        digest = known.get((told["model"], told["decision"]))
        if digest is None:
            found.append(Finding(entry.number, "removed", f"{name} is gone from the registry"))
        elif digest != told["digest"]:
            found.append(Finding(entry.number, "altered", f"{name} is not in the registry as it was made"))
    return found
