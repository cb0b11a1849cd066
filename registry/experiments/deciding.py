"""Deciding an experiment: the ledger's last word, the audit log's entry, and where a version won its way through the gates."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.promotion.promote import Order, Promotion, promote
from registry.versions.versions import Registry
from tailorbird.audit.record import EXPERIMENT, record
from tailorbird.errors import UsageError
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.deciding.own import started
from tailorbird.experiments.design.experiment import Variant
from tailorbird.experiments.running.entries import Entry, StateError
from tailorbird.experiments.running.launching import moves_lock
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.plumbing.alone import alone
from tailorbird.settings import Settings

NOBODY = "none"
"""The verdict of an experiment that no variant won."""


@dataclass(frozen=True)
class Wish:
    """What somebody decides: the variant that won, None for none, why, and which state of the experiment they saw.

    ``expected`` is the version that champion is believed to be; None takes it as it is found.
    """

    winner: str | None
    reason: str
    who: str
    by: str
    revision: int | None = None
    promote: bool = True
    expected: int | None = None


@dataclass(frozen=True)
class Decided:
    """What became of it: the ledger's entry, and the promotion where a version won."""

    entry: Entry
    promotion: Promotion | None
    todo: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values, for JSON."""
        return {
            "experiment": self.entry.key,
            "state": self.entry.state,
            "winner": None if self.entry.verdict == NOBODY else self.entry.verdict,
            "revision": self.entry.revision,
            "promotion": None if self.promotion is None else self.promotion.to_dict(),
            "todo": self.todo,
        }


def decide(settings: Settings, key: str, wish: Wish, *, readout: Mapping[str, Any] | None = None) -> Decided:
    """Stop the experiment if it runs, promote the winner's version through the gates, then write down what was decided.

    A version that the gates refuse leaves the experiment stopped and undecided: it can be decided again.

    Raises:
        UsageError: no such variant, no reason, or the experiment was never started.
        StateError: it was decided before, or changed since it was seen.
        RefusedError: the gates refuse the winner's version.
        AuditAwayError: it could not be written down; nothing was decided.
    """
    if not wish.reason.strip():
        raise UsageError("a decision wants a reason", remedy="say why with --reason TEXT; it is recorded")
    with alone(moves_lock(settings.folder)):  # of two who decide differently, the second promotes nothing
        return _decided(settings, key, wish, readout or {})


def _decided(settings: Settings, key: str, wish: Wish, readout: Mapping[str, Any]) -> Decided:
    entry = started(settings, key)
    winner = None if wish.winner is None else _variant(entry, wish.winner)
    _require_open(entry, revision=wish.revision)
    ledger = Ledger(settings.folder)
    record(
        settings,
        who=wish.by,
        what=EXPERIMENT,
        whom=key,
        detail={
            "did": "decide",
            "winner": wish.winner or NOBODY,
            "verdict": readout.get("verdict", ""),
        },
    )
    revision = wish.revision
    if entry.state == "running":
        stopped = ledger.stop(
            key, at=time.time(), who=wish.who, revision=revision, reason=f"decided: {wish.reason}"
        )
        revision = stopped.revision
    moved = None
    if winner is not None and wish.promote and (winner.version or winner.alias):
        moved = _promoted(settings, winner, entry, wish, verdict=str(readout.get("verdict", "")))
    decided = ledger.decide(
        key, wish.winner or NOBODY, at=time.time(), who=wish.who, revision=revision, reason=wish.reason
    )
    return Decided(decided, moved, todo=_todo(winner, control=entry.experiment.control))


def _require_open(entry: Entry, *, revision: int | None) -> None:
    """Before a version moves; the ledger asks again when it is written."""
    last = entry.steps[-1]
    if entry.state == "decided":
        raise StateError(
            f"experiment {entry.key!r} was decided before, by {last.who}: {entry.verdict}",
            remedy="a decision stands; `tailorbird promote` and `rollback` move versions",
        )
    if revision is not None and revision != entry.revision:
        raise StateError(
            f"experiment {entry.key!r} was changed since: {last.who} did {last.did} (revision {entry.revision}, not {revision})",
            remedy="look at it again, then say what is still wanted",
        )


def _promoted(settings: Settings, winner: Variant, entry: Entry, wish: Wish, *, verdict: str) -> Promotion:
    import datetime as dt

    reason = f"experiment {entry.key}: {wish.reason}" + (f" ({verdict})" if verdict else "")
    order = Order(
        CHAMPION, wish.who, dt.datetime.now(dt.UTC), reason=reason, by=wish.by, expected=wish.expected
    )
    done = promote(Registry(settings), winner.version or winner.alias, order=order)
    done.require_moved()
    return done


def _variant(entry: Entry, name: str) -> Variant:
    try:
        return entry.experiment.variant(name)
    except KeyError as error:
        known = ", ".join(each.name for each in entry.experiment.variants)
        raise UsageError(
            f"experiment {entry.key!r} has no variant {name!r}",
            remedy=f"its variants are {known}; --none for no winner",
        ) from error


def _todo(winner: Variant | None, *, control: str) -> str:
    """What of the winner is no version, and must be written where it lasts."""
    if winner is None or winner.name == control:
        return ""
    parts = {each.partition(".")[0] for each in winner.changes}
    places = {"slate": "[champion] of arms.toml", "scenario": "scenarios.toml", "payload": "the page itself"}
    left = [f"its {name} into {where}" for name, where in places.items() if name in parts]
    return f"write {', '.join(left)}: the experiment no longer does it" if left else ""
