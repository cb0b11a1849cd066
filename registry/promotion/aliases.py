"""Moving an alias: one at a time, only from where its mover believes it to be, and never without a decision on record.

A move is: write the decision down, move the alias, close the decision. Whoever is killed in between leaves an open
decision, which the next mover closes by looking where the alias points. SQLite is locked by a file while that happens,
PostgreSQL by a lock of its own. A server has none to offer, so there a mover first shows its open decision and then looks
for others': of two at once each sees the other or is seen, at most one goes on, and none waits (docs/adr/0011).
"""

import datetime as dt
import re

from registry.following.pointers import RegistryError
from registry.promotion.decisions import PROMOTE, Decision, Decisions
from registry.tracking.store import artifact_location, locked
from registry.versions.versions import Registry
from tailorbird.errors import UsageError

ALIASES = ("champion", "challenger", "shadow")
ABANDONED = dt.timedelta(minutes=5)
"""On a server, an open decision older than this belongs to nobody who is still at work."""


class ConflictError(RegistryError):
    """Somebody else moved the alias since it was looked at."""

    exit_code = 4


class Aliases:
    """The aliases of one registered model and their decisions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        settings = registry.settings
        self._lockable = settings.tracking != "server"
        location = artifact_location(settings)
        self.decisions = Decisions(registry.client, model=registry.name, location=location)

    def history(self, alias: str | None = None) -> list[Decision]:
        """The decisions that took effect, newest first."""
        return self.decisions.history(alias, points_at=self._registry.aliases())

    def earlier(self, alias: str) -> list[int]:
        """Versions a rollback may return to, the nearest first: each promotion goes one step on, each rollback back."""
        places: list[int] = []
        for decision in reversed(self.history(alias)):
            if decision.before is not None and places[-1:] != [decision.before]:
                places.append(decision.before)  # moved by somebody who told nobody
            if decision.kind != PROMOTE and decision.version in places:
                last = len(places) - 1 - places[::-1].index(decision.version)
                del places[last + 1 :]
            elif places[-1:] != [decision.version]:
                places.append(decision.version)
        current = self._registry.aliases().get(alias)
        if places[-1:] == [current]:
            places.pop()
        return [version for version in reversed(places) if version != current]

    def move(self, decision: Decision) -> Decision:
        """Point the alias at ``decision.version`` if it still points at ``decision.before``; the decision as recorded.

        Raises:
            ConflictError: it points elsewhere by now, or somebody is moving it at this moment.
        """
        check_alias(decision.alias)
        with locked(self._registry.settings):
            self._settle(decision)
            self.require_at(decision.alias, decision.before)
            begun = self.decisions.begin(decision)
            try:
                self._require_alone(begun)
                self.require_at(begun.alias, begun.before)  # who was quicker is done by now, or was seen
            except BaseException:
                self.decisions.withdraw(begun)
                raise
            try:
                self._registry.point(begun.alias, begun.version)
            except BaseException:
                self._close(begun)
                raise
            self.decisions.conclude(begun)
        return begun

    def require_at(self, alias: str, version: int | None) -> None:
        """Raise ConflictError, with who moved the alias and where to, unless it points at ``version`` (None: at nothing)."""
        current = self._registry.aliases().get(alias)
        if current == version:
            return
        latest = self.history(alias)[:1]
        if latest and latest[0].version == current:
            last = latest[0]
            moved = (
                f"{last.who} moved it to version {current} at {last.when:%Y-%m-%d %H:%M:%S} UTC "
                f"({last.kind}: {last.why or 'no reason given'})"
            )
        else:
            moved = f"it points at {_named(current)} now, and no decision says who moved it"
        raise ConflictError(
            f"alias {alias!r} is not at {_named(version)}: {moved}",
            remedy="look at `tailorbird decisions`, and decide again against the version it points at now",
        )

    def _settle(self, decision: Decision) -> None:
        """Close what interrupted movers left open."""
        for left in self.decisions.open(decision.alias):
            if self._lockable or decision.when - left.when > ABANDONED:
                self._close(left)

    def _close(self, decision: Decision) -> None:
        if self._registry.aliases().get(decision.alias) == decision.version:
            self.decisions.conclude(decision)
        else:
            self.decisions.withdraw(decision)

    def _require_alone(self, begun: Decision) -> None:
        others = [each for each in self.decisions.open(begun.alias) if each.run_id != begun.run_id]
        if others:
            raise ConflictError(
                f"{others[0].who} is moving alias {begun.alias!r} to version {others[0].version} at this moment",
                remedy="look at `tailorbird decisions` in a moment, and decide again",
            )


def check_alias(alias: str) -> None:
    """Refuse what is no alias. Raises UsageError."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", alias) or alias == "latest":
        raise UsageError(
            f"{alias!r} is no alias", remedy=f"choose one of {', '.join(ALIASES)} or a lower-case word"
        )


def _named(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
