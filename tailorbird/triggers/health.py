"""The doctor's look at the triggers: the file, every target, what was given up."""

from collections.abc import Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.settings import Settings
from tailorbird.triggers.addresses import SETTING
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.state import TargetState, state_of

SECTION = "triggers"


def check_triggers(settings: Settings) -> Sequence[Finding]:
    """Whether the declaration is right, and what each target waits for. Calls nobody."""
    path = str(settings.folder / TRIGGERS_FILE)
    state = state_of(settings)
    if state.problem:
        return [Finding(SECTION, path, "broken", state.problem, "correct the file (docs/guides/triggers.md)")]
    if not state.targets:
        says = "no target is declared" if state.declared else "no such file: moves call nobody"
        return [Finding(SECTION, path, "ok", says)]
    return [_finding(each) for each in state.targets]


def _finding(target: TargetState) -> Finding:
    counts = target.counts
    facts = {"waiting": counts.waiting, "dead": counts.dead, "dropped": counts.dropped}
    says = f"{target.name}: {counts.waiting} deliveries wait, {counts.dead} were given up"
    if target.problem:
        remedy = f"correct {TRIGGERS_FILE}, {SETTING} or the environment of `tailorbird serve`"
        return Finding(SECTION, target.url, "broken", f"{target.name}: {target.problem}", remedy, facts)
    if counts.dead or counts.dropped:
        remedy = "`tailorbird triggers dead` says why, `tailorbird triggers replay` tries again"
        return Finding(SECTION, target.url, "warning", says, remedy, facts)
    return Finding(SECTION, target.url, "ok", says, facts=facts)
