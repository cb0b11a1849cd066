"""``tailorbird retrain``: rounds of learning and deciding, once or again and again, and what became of them."""

import datetime as dt
import time
from typing import Any

import click

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.clock import seconds_of
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings
from training.retrain.due import Causes, Standing, standing_of
from training.retrain.ledger import STEPS, Ledger, Round
from training.retrain.order import REFUSED, CanaryRules, Order
from training.retrain.rounds import NOBODY, is_held, run_round

AGAIN_SECONDS = 300.0
"""After how long a schedule looks again at what could not be done, or waits for a canary."""
_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


@click.group(invoke_without_command=True)
@_workspace
@click.option("--every", metavar="TIME", help="Again and again, this long apart: 6h, 1d. Ctrl-C ends it.")
@click.option(
    "--after-events",
    type=click.IntRange(1),
    help="Only where so many events are newer than what the champion and the last round learned from.",
)
@click.option(
    "--on-drift",
    type=click.FloatRange(0, min_open=True),
    is_flag=False,
    flag_value=0.25,
    help="Or only where what people take has moved by this population stability index; alone it is 0.25.",
)
@click.option(
    "--recipe", default="default", show_default=True, help="For a first version; later the champion's."
)
@click.option(
    "--segments",
    default="champion",
    show_default=True,
    help="Version of the segment model to pin, or `none`.",
)
@click.option("--full", is_flag=True, help="Train from nothing instead of going on from the champion.")
@click.option(
    "--warm",
    type=click.IntRange(0),
    default=Order.warm,
    show_default=True,
    help="After so many versions that went on from each other one is trained from nothing.",
)
@click.option(
    "--canary",
    "length",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="For how long the new version is shown to some before the decision.",
)
@click.option(
    "--at-most",
    metavar="TIME",
    default="72h",
    show_default=True,
    help="How long to wait in all until enough units saw it.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=CanaryRules.share,
    show_default=True,
    help="Share of everybody in the canary at first, half of it for control.",
)
@click.option(
    "--units",
    type=click.IntRange(2),
    default=CanaryRules.units,
    show_default=True,
    help="Fewest units that must have seen each of the two.",
)
@click.option("--without-canary", is_flag=True, help="The gates alone decide.")
@click.option("--no-wait", is_flag=True, help="Leave a canary running; the same command later goes on.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that draws.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_json
@click.pass_context
def retrain(
    context: click.Context,
    workspace: str | None,
    every: str | None,
    after_events: int | None,
    on_drift: float | None,
    length: str,
    at_most: str,
    share: float,
    units: int,
    without_canary: bool,
    no_wait: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    r"""Learn from newer events: features, train, evaluate, challenger, canary, decision; one round at a time.

    A new version goes on from the champion (its recipe, its weights); the gates compare the two on events that neither had seen, then
    a canary shows it to some, and the readout decides. Stopped half-way, the same command goes on at that step. Exit code 3 when a gate refuses.

    \b
    Examples:
        tailorbird retrain --dry-run
        tailorbird retrain --without-canary
        tailorbird retrain --every 1d --canary 12h
        tailorbird retrain --every 1h --after-events 50000 --on-drift
        tailorbird retrain list
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(workspace=workspace)
    hours = seconds_of(length, option="--canary") / 3600
    most = seconds_of(at_most, option="--at-most") / 3600
    rules = None if without_canary else CanaryRules(hours, max(hours, most), share, units)
    order = Order(canary=rules, wait=not no_wait, **given)
    causes = Causes(None if every is None else seconds_of(every, option="--every"), after_events, on_drift)
    if dry_run:
        _show_standing(standing_of(settings, order, causes), as_json=as_json)
        return
    if causes.every is None:
        done = _once(settings, order, causes, as_json=as_json)
        if done is not None and done.outcome == REFUSED:
            raise click.exceptions.Exit(3)
        return
    while True:
        time.sleep(max(_looked(settings, order, causes, as_json=as_json), 1.0))


@retrain.command("list")
@_workspace
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@_json
def list_rounds(workspace: str | None, last: int, as_json: bool) -> None:
    r"""List rounds: why each began, how far it came, how it ended.

    \b
    Examples:
        tailorbird retrain list
        tailorbird retrain list --last 1 --json
    """
    settings = load_settings(workspace=workspace)
    held = is_held(settings)
    found = [_plain(each, held=held) for each in Ledger(settings.folder).rounds(last=last)]
    if as_json:
        emit({"rounds": found}, as_json=True)
        return
    table([_line(each) for each in found])
    if not found:
        say(f"workspace {settings.workspace!r} was never retrained; `tailorbird retrain` does")


def _once(settings: Settings, order: Order, causes: Causes, *, as_json: bool) -> Round | None:
    standing = standing_of(settings, order, causes)
    if not standing.why:
        say("nothing to do: " + "; ".join(standing.words))
        emit(standing.plain(), as_json=as_json)
        return None
    done = run_round(settings, order, why=standing.why)
    _show(done, as_json=as_json)
    return done


def _looked(settings: Settings, order: Order, causes: Causes, *, as_json: bool) -> float:
    """One look of a schedule, and the round that is due; seconds until the next look."""
    every, began = causes.every or 0.0, time.monotonic()
    try:
        standing = standing_of(settings, order, causes)
        if not standing.why:
            return standing.seconds
        done = run_round(settings, order, why=standing.why)
        _show(done, as_json=as_json)
        if done.ended is None:  # its canary runs
            return min(every, AGAIN_SECONDS)
    except Exception as error:  # what is away comes back: a schedule ends with Ctrl-C alone
        named = "" if isinstance(error, TailorbirdError) else f"{type(error).__name__}: "
        say(f"error: {named}{error}")
        return min(every, AGAIN_SECONDS)
    return every - (time.monotonic() - began)


def _show_standing(standing: Standing, *, as_json: bool) -> None:
    for words in standing.words:
        say(words)
    emit(standing.plain(), as_json=as_json)


def _show(done: Round, *, as_json: bool) -> None:
    table(
        [{"step": each.step, "seconds": f"{each.seconds:.1f}", "found": each.words} for each in done.taken],
        title=f"round {done.number}",
    )
    plain = _plain(done, held=False)
    emit(plain if as_json else {name: plain[name] for name in ("round", "state", "version")}, as_json=as_json)


def _plain(found: Round, *, held: bool) -> dict[str, Any]:
    waits = found.holder == NOBODY
    state = found.outcome or ("running" if held else "waits" if waits else "stopped")
    ended = f"{found.holder} ended in its midst" if state == "stopped" and found.holder else ""
    return {
        "round": found.number,
        "state": state,
        "step": found.step or None,
        "why": found.why,
        "began": _instant(found.began),
        "ended": _instant(found.ended),
        "holder": found.holder if held and not found.outcome else None,
        "trouble": found.trouble or ended or None,
        "words": found.words,
        "facts": dict(found.facts),
        "version": found.facts.get("version"),
        "steps": [
            {"step": each.step, "at": _instant(each.at), "seconds": each.seconds, "words": each.words}
            for each in found.taken
        ],
    }


def _line(plain: dict[str, Any]) -> dict[str, object]:
    step = plain["step"]
    at = "" if step is None else f"{step} ({STEPS.index(step) + 1} of {len(STEPS)})"
    return {
        "round": str(plain["round"]),
        "began": str(plain["began"])[:16].replace("T", " "),
        "why": plain["why"],
        "version": str(plain["version"] or ""),
        "state": plain["state"],
        "at": at,
        "": plain["trouble"] or plain["words"] or plain["holder"] or "",
    }


def _instant(seconds: float | None) -> str | None:
    return (
        None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
    )
