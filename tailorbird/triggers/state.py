"""What triggers do at the moment: what is declared, what waits, what was given up, and what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.environment import secret_of
from tailorbird.settings import Settings
from tailorbird.triggers.addresses import Allowed
from tailorbird.triggers.declared import TRIGGERS_FILE, read_triggers
from tailorbird.triggers.queue import Counts, counts_in
from tailorbird.triggers.trigger import Declared, Target


@dataclass(frozen=True)
class TargetState:
    """One target: what calls it, what waits for it, and why it cannot be called ("" where it can)."""

    name: str
    url: str
    calls: Sequence[str]
    counts: Counts
    problem: str


@dataclass(frozen=True)
class TriggersState:
    """Every target; ``declared`` says whether there is a file, ``problem`` what is wrong with it."""

    declared: bool
    targets: Sequence[TargetState]
    problem: str

    @property
    def problems(self) -> list[str]:
        """What is wrong, the file first."""
        named = [f"target {each.name}: {each.problem}" for each in self.targets if each.problem]
        return ([self.problem] if self.problem else []) + named


def state_of(settings: Settings) -> TriggersState:
    """Look at the file and the queue of a workspace. Makes nothing."""
    declared, problem, there = None, "", True
    try:
        declared = read_triggers(settings.folder / TRIGGERS_FILE)
        there = declared is not None
    except UsageError as error:
        problem = str(error)
    counts, allowed = counts_in(settings.folder), Allowed.of(settings.callable_origins)
    known = declared or Declared({}, ())
    targets = [
        _state(each, known, counts.get(each.name, Counts()), allowed) for each in known.targets.values()
    ]
    for name in sorted(counts.keys() - known.targets.keys()):
        problem_of_it = "" if problem else f"is not declared in {TRIGGERS_FILE}: what waits is kept"
        targets.append(TargetState(name, "", (), counts[name], problem_of_it))
    return TriggersState(there, targets, problem)


def problem_with(target: Target, allowed: Allowed) -> str:
    """Why a target cannot be called, as far as this process can tell without calling it; "" for nothing."""
    if refusal := allowed.refusal(target.url):
        return refusal
    return "" if secret_of(target.secret_env) else f"the secret {target.secret_env} is not set"


def _state(target: Target, declared: Declared, counts: Counts, allowed: Allowed) -> TargetState:
    calls = [each.words for each in declared.triggers if each.target == target.name]
    return TargetState(target.name, without_secret(target.url), calls, counts, problem_with(target, allowed))
