"""Launching: experiments are declared, checked, started, ramped and stopped, each move written down before it is made."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from tailorbird.audit.record import EXPERIMENT, record
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.design.declared import experiment_of, read_experiment
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.design.files import declared_keys, file_of, read_values, values_of
from tailorbird.experiments.running.buckets import Range
from tailorbird.experiments.running.checking import (
    Finding,
    Known,
    of_consent,
    of_metrics,
    of_platform,
    refusal,
    structural,
)
from tailorbird.experiments.running.entries import DRAFT, Entry, StateError, Unread
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.running.renewals import Folded, Renewal
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.settings import Settings

Move = TypeVar("Move", bound=Callable[..., Any])
LARGEST_FILE = 200_000
"""Bytes of a declaration."""
Past = Callable[[Experiment], Sequence[Finding]]
"""What the last weeks say: who the audience is, what can move, how long it takes."""


@dataclass(frozen=True)
class Standing:
    """How one experiment stands: what is declared or was started, and what is wrong with it."""

    key: str
    state: str
    experiment: Experiment | None
    entry: Entry | None = None
    trouble: str = ""


def moves_lock(folder: Path) -> Path:
    """What whoever moves an experiment of a workspace holds meanwhile."""
    return folder / ".experiments.moves.lock"


def _in_turn(move: Move) -> Move:
    """One move at a time, whoever makes it: what is written down before it is then made, or was refused."""

    @wraps(move)
    def moved(self: "Launcher", *arguments: Any, **more: Any) -> Any:
        with alone(moves_lock(self.folder)):
            return move(self, *arguments, **more)

    return cast(Move, moved)


class Launcher:
    """The experiments of a workspace, for whoever moves them."""

    def __init__(
        self,
        settings: Settings,
        *,
        known: Known,
        past: Past = lambda experiment: (),
        announce: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._known, self._past = settings, known, past
        self._announce, self._clock = announce, clock
        self.folder = settings.folder
        self.ledger = Ledger(settings.folder)

    def standings(self) -> list[Standing]:
        """All experiments: those that were ever started in that order, then the drafts."""
        started = self.ledger.all()
        keys = {entry.key for entry in started}
        drafts = [key for key in declared_keys(self._settings.folder) if key not in keys]
        return [*(self._started(entry) for entry in started), *(self._draft(key) for key in drafts)]

    def standing(self, key: str) -> Standing:
        """One experiment. Raises UsageError where there is none."""
        found = self.ledger.find(key)
        return (
            self._started(found)
            if found
            else Standing(key, DRAFT, read_experiment(self._settings.folder, key))
        )

    def holdouts(self) -> list[Entry] | None:
        """Those that run: whom they hold takes part in nothing else. None where one cannot be read any more: then nobody takes part."""
        running = self.ledger.all(state="running")
        if any(isinstance(each, Unread) and each.is_holdout for each in running):
            return None
        return [each for each in running if isinstance(each, Entry) and each.experiment.kind == "holdout"]

    def knows(self, key: str) -> bool:
        """Whether it is declared or was ever started."""
        return file_of(self._settings.folder, key).exists() or self.ledger.find(key) is not None

    def declaration(self, key: str) -> Mapping[str, Any]:
        """What was declared when it started; of a draft what its file says now. Raises UsageError."""
        entry = self.ledger.get(key)
        return entry.declared if entry else read_values(self._settings.folder, key)

    @_in_turn
    def declare(self, key: str, text: str, *, who: str) -> Standing:
        """Write ``experiments/KEY.toml`` where there is none. Raises UsageError, StateError where there is one."""
        path = file_of(self._settings.folder, key)
        if len(text.encode()) > LARGEST_FILE:
            raise UsageError(f"the declaration has more than {LARGEST_FILE:,} bytes", remedy="say less")
        experiment = experiment_of(key, values_of(text, where=f"{key}.toml"), where=f"{key}.toml")
        if path.exists() or self.ledger.find(key):
            raise StateError(
                f"experiment {key!r} is declared already", remedy="choose another key, or edit its file"
            )
        self._record(who, key, did="declare", digest=experiment.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{key}.{os.getpid()}.draft")
        draft.write_text(text, "utf-8")
        try:
            os.link(draft, path)  # of two at once one is first
        except FileExistsError as error:
            raise StateError(
                f"experiment {key!r} is declared already", remedy="choose another key, or edit its file"
            ) from error
        finally:
            draft.unlink()
        return Standing(key, DRAFT, experiment)

    def check(self, key: str) -> tuple[Experiment, list[Finding]]:
        """What would refuse an experiment, and what is worth knowing before it starts. Raises UsageError."""
        experiment = read_experiment(self._settings.folder, key)
        running = self.ledger.entries(state="running")
        findings = structural(experiment, running, held=self._held(experiment))
        findings += of_platform(experiment, self._known)
        findings += of_metrics(experiment, self._settings.folder) + of_consent(read_policy(self._settings))
        if self.ledger.find(key):
            findings.insert(
                0, Finding("refused", "ledger", "it was started before", "give a new one another key")
            )
        return experiment, [*findings, *self._past(experiment)]

    @_in_turn
    def start(self, key: str, *, who: str, reason: str = "") -> Entry:
        """Let a draft run. Raises StateError where it was started before, UsageError where something refuses it."""
        folder = self._settings.folder
        experiment, declared = read_experiment(folder, key), read_values(folder, key)
        if self.ledger.find(key) is None:  # else the ledger says who was first
            refused = refusal(
                [
                    *structural(
                        experiment, self.ledger.entries(state="running"), held=self._held(experiment)
                    ),
                    *of_platform(experiment, self._known),
                    *of_metrics(experiment, folder),
                ]
            )
            if refused:
                raise refused
            self._record(
                who, key, did="start", digest=experiment.digest, share=experiment.share, reason=reason
            )
        entry = self.ledger.start(
            experiment,
            declared,
            at=self._clock(),
            who=who,
            reason=reason,
            agree=lambda running: refusal(structural(experiment, running)),
        )
        self._announce()
        return entry

    @_in_turn
    def ramp(
        self, key: str, share: float, *, who: str, revision: int | None = None, reason: str = ""
    ) -> Entry:
        """Give a running experiment another share of its layer. Raises StateError, UsageError."""
        if not 0 < share <= 1:
            raise UsageError(
                f"a share of {share:g}", remedy="a share is more than 0 and at most 1; `stop` ends it"
            )
        entry = self._running(key, revision)
        if entry.experiment.kind == "holdout":
            raise UsageError(
                f"{key!r} is a holdout: its weights say who is held", remedy="stop it and declare another one"
            )
        self.ledger.require_room(entry, share)
        self._record(who, key, did="ramp", share=share, before=entry.share, reason=reason)
        entry = self.ledger.ramp(key, share, at=self._clock(), who=who, revision=revision, reason=reason)
        self._announce()
        return entry

    @_in_turn
    def stop(self, key: str, *, who: str, revision: int | None = None, reason: str = "") -> Entry | Unread:
        """End a running experiment, also one that cannot be read any more: the champion answers everybody. Raises StateError."""
        if isinstance(self.ledger.find(key), Unread):
            self.ledger.require_running(key, revision=revision)
        else:
            self._running(key, revision)
        self._record(who, key, did="stop", reason=reason)
        entry = self.ledger.stop(key, at=self._clock(), who=who, revision=revision, reason=reason)
        self._announce()
        return entry

    @_in_turn
    def renew(self, key: str, renewal: Renewal, folded: Folded | None = None) -> Entry:
        """Give a running bandit its next allocation. Raises StateError: it does not run, or somebody was first."""
        self._running(key, None)
        self._record(renewal.who, key, did="renew", number=renewal.number, parts=renewal.allocations[:1])
        entry = self.ledger.renew(key, renewal, folded)
        self._announce()
        return entry

    def _held(self, experiment: Experiment) -> Sequence[Range]:
        return self.ledger.held(experiment.layer, but=experiment.key)

    def _running(self, key: str, revision: int | None) -> Entry:
        """The experiment as it was seen: what is refused is not written down as done."""
        entry = self.ledger.get(key)
        if entry is None:
            read_experiment(self._settings.folder, key)  # says where there is none at all
            raise StateError(
                f"experiment {key!r} was never started", remedy=f"`tailorbird experiment start {key}`"
            )
        if entry.state != "running":
            raise StateError(
                f"experiment {key!r} is {entry.state}, not running: {entry.steps[-1].who} did {entry.steps[-1].did} last",
                remedy="`tailorbird experiment list` says how each stands",
            )
        self.ledger.require_running(key, revision=revision)
        return entry

    def _started(self, entry: Entry | Unread) -> Standing:
        """What runs, with a word where its file says something else by now."""
        if isinstance(entry, Unread):
            return Standing(entry.key, entry.state, None, trouble=str(entry))
        trouble = ""
        if entry.state == "running":
            try:
                now = read_experiment(self._settings.folder, entry.key)
                if now.digest != entry.experiment.digest:
                    trouble = "its file was changed since it started: what was declared then runs"
            except TailorbirdError:
                pass  # it may be gone: the ledger has what runs
        return Standing(entry.key, entry.state, entry.experiment, entry, trouble)

    def _draft(self, key: str) -> Standing:
        try:
            return Standing(key, DRAFT, read_experiment(self._settings.folder, key))
        except TailorbirdError as error:
            return Standing(key, DRAFT, None, trouble=str(error))

    def _record(self, who: str, key: str, **detail: Any) -> None:
        said: Mapping[str, Any] = {name: value for name, value in detail.items() if value != ""}
        record(self._settings, who=who, what=EXPERIMENT, whom=key, detail=said, clock=self._clock)
