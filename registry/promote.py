"""Promotion and rollback: the gates a version must pass, and the move of an alias with its reasons."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from registry.gates import Gate, answer_gate, bundle_gate, enough_common, quality_gate
from registry.tracking.runs import Run
from registry.versions import Decision, Registered, Registry, whoami
from tailorbird.errors import TailorbirdError, UsageError

CASES_FILE = "cases.parquet"
"""The artifact of a version's run that holds every case it was measured on."""


class RefusedError(TailorbirdError):
    """A version did not pass its gates."""

    exit_code = 3


@dataclass(frozen=True)
class Promotion:
    """What became of a request to promote: the gates, and the versions before and after."""

    alias: str
    version: int
    before: int | None
    gates: Sequence[Gate]
    moved: bool
    forced: bool


Ask = Callable[[Registered, pd.DataFrame], pd.DataFrame]
"""Asks a version those cases of a table that are newer than anything it learned from; a table of the same form."""


def check(
    registry: Registry, candidate: Registered, *, champion: Registered | None, ask: Ask | None = None
) -> list[Gate]:
    """Put a version through every gate.

    Where the data has grown so far that the two were measured on different cases, ``ask`` lets the champion answer the
    candidate's, as far as they are newer than what it learned from.
    """
    verified, bundle = bundle_gate(candidate.open)
    gates = [verified]
    if bundle is not None:
        gates.append(answer_gate(bundle))
    ours, theirs = cases_of(registry, candidate), None
    if champion is not None:
        theirs = cases_of(registry, champion)
        if ask is not None and not enough_common(ours, theirs):
            theirs = pd.concat([theirs, ask(champion, ours)]).drop_duplicates("case")
    return [*gates, quality_gate(ours, theirs)]


def promote(
    registry: Registry,
    which: str,
    *,
    alias: str,
    force: bool,
    reason: str,
    now: dt.datetime,
    ask: Ask | None = None,
) -> Promotion:
    """Move ``alias`` to a version that passes its gates, or to any version with ``force`` and a reason.

    Raises:
        RefusedError: a gate refuses and ``force`` is not given.
        UsageError: ``force`` without a reason.
    """
    if force and not reason:
        raise UsageError("--force needs a reason", remedy="say why with --reason TEXT; it is recorded")
    candidate, current = registry.version(which), registry.alias(alias)
    before = current.version if current else None
    if before == candidate.version:
        return Promotion(alias, candidate.version, before, [], moved=False, forced=False)
    gates = check(registry, candidate, champion=current, ask=ask)
    passed = all(gate.passed for gate in gates)
    promotion = Promotion(
        alias, candidate.version, before, gates, moved=passed or force, forced=force and not passed
    )
    if promotion.moved:
        decision = Decision(who=whoami(), when=now, why=_why(promotion, reason), figures=_figures(gates))
        registry.move(alias, candidate.version, decision=decision)
    return promotion


def roll_back(registry: Registry, *, alias: str, reason: str, now: dt.datetime) -> tuple[int, int]:
    """Return ``alias`` to the version it pointed at before: the versions left and returned to."""
    why = reason or "rolled back"
    return registry.return_alias(alias, decision=Decision(who=whoami(), when=now, why=why, figures={}))


def cases_of(registry: Registry, version: Registered) -> pd.DataFrame:
    """Every case that a version was measured on, with the rank of its target.

    Raises:
        TailorbirdError: the version's run has no such table.
    """
    from mlflow.exceptions import MlflowException

    try:
        return pd.read_parquet(Run(registry.client, version.run_id).download(CASES_FILE))
    except (MlflowException, OSError, ValueError) as error:
        raise TailorbirdError(
            f"version {version.version} of {version.name} has no {CASES_FILE} in its run: {error}",
            remedy="only versions made by `tailorbird train` or `tailorbird tune` can be compared",
        ) from error


def _why(promotion: Promotion, reason: str) -> str:
    refused = [gate.name for gate in promotion.gates if not gate.passed]
    words = "passed all gates" if not refused else f"forced against: {', '.join(refused)}"
    return f"{reason} ({words})" if reason else words


def _figures(gates: Sequence[Gate]) -> dict[str, object]:
    return {gate.name: gate.figures or gate.found for gate in gates}
