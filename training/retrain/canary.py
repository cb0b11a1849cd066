"""The canary of a round and its decision: an experiment like others, that the round declares, waits for, reads and decides."""

import math

from registry.commands import moved_to
from registry.experiments.deciding import Wish, decide
from registry.experiments.launching import launcher_of
from registry.platform import PlatformError
from registry.promotion.aliases import ConflictError
from registry.promotion.promote import RefusedError
from registry.who import whoami
from tailorbird.audit.record import at_this_terminal
from tailorbird.errors import UsageError
from tailorbird.experiments.canary.guard import CANARY, EVERY_SECONDS, HOUR, Guard
from tailorbird.experiments.deciding.own import read_experiment_out
from tailorbird.experiments.deciding.readout import OwnReadout
from tailorbird.experiments.deciding.shown import as_json
from tailorbird.experiments.reading.verdict import Decision, judge
from tailorbird.experiments.running.entries import Entry, StateError
from tailorbird.experiments.running.launching import Launcher
from tailorbird.plumbing.terminal import progress
from training.retrain.order import (
    CHAMPION,
    DECIDED,
    JOB,
    OBJECTED,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    UNSEEN,
    CanaryRules,
    Done,
    Work,
)
from training.retrain.steps import overtaken

CONTROL, RETRAINED = "control", "retrained"
_TOO_FEW = "too few saw it"
_REMEDY = "`tailorbird retrain --without-canary` decides by the gates alone"
_LATER_SHARE = 5.0
"""By how much the share grows after a third of the time."""
_DECLARATION = """# Written by `tailorbird retrain`, round {number}.
hypothesis = "Version {version}, which learned from newer events, is no worse than version {before}."
kind = "canary"
share = {share:g}
days = {days}
{ramp}
[metrics]
primary = "clicks_per_slate"
minimum_effect = 0.05

[variants.{control}]

[variants.{retrained}]
version = "{version}"
"""


def canary(work: Work) -> Done | None:
    """Show the challenger to some, and wait: until its time is over and enough have seen it, or it goes back.

    None where the order says not to wait, and there is something to wait for.
    """
    rules, launcher = work.order.canary, launcher_of(work.settings)
    key = f"retrain-{work.round.number}-{work.round.key[:6]}"
    guard = Guard(work.settings, launcher, clock=work.clock)
    if launcher.ledger.get(key) is not None:  # what it has seen until now counts, whatever becomes of it
        guard.look()
    found = launcher.ledger.get(key)
    if found is not None and (over := _ended_before(work, found)):
        return over
    if rules is None or work.before is None:
        _end(launcher, key)
        return Done(
            "none: " + ("the gates decide" if work.before else "there is no champion to be compared with")
        )
    if work.registry.aliases().get(CHAMPION) != work.before:
        _end(launcher, key)
        return overtaken(work)
    entry = _running(work, launcher, key, rules)
    looked = entry.started + rules.hours * HOUR
    with progress(f"canary {key}", total=round(rules.hours, 2)) as bar:
        while True:
            guard.look()
            # Before the entry: whoever decides the canary moves the champion after it was stopped.
            present = work.registry.aliases().get(CHAMPION)
            entry = _entry(launcher, key)
            if entry.state != "running":
                return _over(work, entry)
            if present != work.before:
                _end(launcher, key)
                return overtaken(work)
            now = work.clock()
            if now >= looked:
                units = _units(work, key)
                words = f"{units:,} units in {(now - entry.started) / HOUR:.1f} hours"
                if units >= 2 * rules.units:
                    return Done(words, {"experiment": key})
                if now >= entry.started + rules.most_hours * HOUR:
                    return _given_up(work, launcher, key, words)
                looked = now + max(2 * EVERY_SECONDS, rules.hours * HOUR / 10)
                bar.update(figures=words)
            if not work.order.wait:
                return None
            work.sleep(min(EVERY_SECONDS, rules.hours * HOUR / 10))


def decision(work: Work) -> Done:
    """Make the version champion, through the gates, with what was found as the reason; or leave the champion."""
    key = work.facts.get("experiment")
    if key is None:
        return _by_gates(work)
    launcher = launcher_of(work.settings)
    Guard(work.settings, launcher, clock=work.clock).look()
    present = work.registry.aliases().get(CHAMPION)
    entry = _entry(launcher, key)
    if _by_others(work, entry):
        return _over(work, entry)
    readout = read_experiment_out(work.settings, key, now=work.clock())
    said = as_json(readout)
    facts = {"readout": said["verdict"]}
    moved = present == work.version.version  # before a kill: what is left is to write it down
    objects = not moved and _objects(readout)
    if not objects and not moved and present != work.before:
        _end(launcher, key)
        return overtaken(work)
    wish = Wish(
        None if objects else RETRAINED,
        _reason(work),
        who=whoami(),
        by=at_this_terminal(),
        revision=entry.revision,
        promote=not moved,
        expected=work.before,
    )
    try:
        decide(work.settings, key, wish, readout=said)
    except StateError:
        entry = _entry(launcher, key)
        if _by_others(work, entry):  # while it was read out
            return _over(work, entry)
        raise
    except RefusedError as error:
        return Done(error.what, facts, REFUSED)
    except ConflictError:
        return overtaken(work)
    words = _outcome_words(work, objects=objects)
    return Done(f"{words}: {said['verdict']}", facts, OBJECTED if objects else PROMOTED)


def _outcome_words(work: Work, *, objects: bool) -> str:
    version = work.version.version
    return f"version {version} stays out" if objects else f"champion is version {version}"


def _by_gates(work: Work) -> Done:
    version, present = work.version, work.registry.aliases().get(CHAMPION)
    if present not in (work.before, version.version):
        return overtaken(work)
    reason = f"{_reason(work)}: {work.facts.get('verdict') or 'through the gates'}"
    if present != version.version:
        try:
            moved_to(work.settings, version, alias=CHAMPION, expected=work.before or 0, reason=reason)
        except ConflictError:
            return overtaken(work)
        except (RefusedError, PlatformError) as error:
            if error.exit_code == ConflictError.exit_code:
                return overtaken(work)
            if error.exit_code != RefusedError.exit_code:
                raise
            return Done(error.what, outcome=REFUSED)
    return Done(f"champion is version {version.version}", outcome=PROMOTED)


def _running(work: Work, launcher: Launcher, key: str, rules: CanaryRules) -> Entry:
    """The canary's entry, declared and started where it is not yet."""
    if not launcher.knows(key):
        later = min(1.0, rules.share * _LATER_SHARE)
        text = _DECLARATION.format(
            number=work.round.number,
            version=work.version.version,
            before=work.before,
            share=rules.share,
            days=max(1, math.ceil(rules.most_hours / 24)),
            ramp=f"ramp = [{{hours = {rules.hours / 3:g}, share = {later:g}}}]\n",
            control=CONTROL,
            retrained=RETRAINED,
        )
        launcher.declare(key, text, who=JOB)
    entry = launcher.ledger.get(key)
    return entry or launcher.start(key, who=JOB, reason=f"round {work.round.number} of retraining")


def _entry(launcher: Launcher, key: str) -> Entry:
    entry = launcher.ledger.get(key)
    if entry is None:
        raise UsageError(
            f"experiment {key!r} is gone from the ledger of experiments",
            remedy="`tailorbird retrain --without-canary` decides by the gates",
        )
    return entry


def _reason(work: Work) -> str:
    return f"retraining, round {work.round.number}"


def _by_others(work: Work, entry: Entry) -> bool:
    """Whether the canary is over, and not because this round has ended it, or began to decide it before a kill."""
    last = entry.steps[-1]
    ours = last.who == JOB or last.reason == f"decided: {_reason(work)}"
    return entry.state == "decided" or (entry.state == "stopped" and not ours)


def _ended_before(work: Work, entry: Entry) -> Done | None:
    """What became of a canary that is over when the step begins; None of one that runs, or that nobody asks after any more."""
    if _by_others(work, entry):
        return _over(work, entry)
    if entry.state == "running" or work.order.canary is None:
        return None
    reason = entry.steps[-1].reason  # this round ended it, and was killed before it could say so
    if reason.startswith(_TOO_FEW):
        return Done(f"{reason}; {_REMEDY}", outcome=UNSEEN)
    return Done("none: the gates decide")


def _over(work: Work, entry: Entry) -> Done:
    """Somebody, or the guard, has ended the canary; or this round itself did, and was killed before it could say so."""
    last = entry.steps[-1]
    if entry.state == "decided":
        won = entry.verdict == RETRAINED
        if last.reason == _reason(work):
            said = _outcome_words(work, objects=not won)
            return Done(f"{said}, as was decided before", outcome=PROMOTED if won else OBJECTED)
        return Done(f"{last.who} decided: {entry.verdict}", outcome=PROMOTED if won else DECIDED)
    back = last.who == CANARY
    return Done(f"{last.who}: {last.reason or 'stopped'}", outcome=ROLLED_BACK if back else DECIDED)


def _end(launcher: Launcher, key: str) -> None:
    """Stop what an earlier call began and this one does not want."""
    entry = launcher.ledger.get(key)
    if entry is not None and entry.state == "running":
        launcher.stop(key, who=JOB, reason="the round goes on without it")


def _given_up(work: Work, launcher: Launcher, key: str, words: str) -> Done:
    launcher.stop(key, who=JOB, reason=f"{_TOO_FEW}: {words}")
    return Done(f"{_TOO_FEW}: {words}; {_REMEDY}", outcome=UNSEEN)


def _units(work: Work, key: str) -> int:
    """The units that can be compared: twice those of the variant that has fewer."""
    try:
        return 2 * min(read_experiment_out(work.settings, key, now=work.clock()).reading.counts.values())
    except UsageError:  # nobody is in it yet
        return 0


def _objects(readout: OwnReadout) -> bool:
    """Whether the readout objects: worse for sure, something else got worse, or the assignment is off."""
    return judge(readout.reading).decision in (Decision.KEEP, Decision.WEIGH, Decision.BROKEN)
