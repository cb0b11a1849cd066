"""``tailorbird triggers``: whom moves of people call, what was given up, and once more."""

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
import orjson

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import Settings, load_settings
from tailorbird.triggers.declared import TRIGGERS_FILE, read_triggers
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.queue import QUEUE_FILE, DeadLetter, DeliveryQueue
from tailorbird.triggers.state import TargetState, state_of
from tailorbird.triggers.trigger import Target

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_json = partial(click.option, "--json", "as_json", is_flag=True)


@click.group()
def triggers() -> None:
    r"""Show whom moves of people call, and look after what could not be delivered.

    \b
    Examples:
        tailorbird triggers list
        tailorbird triggers dead --target crm
        tailorbird triggers replay --target crm
    """


@triggers.command("list")
@_workspace
@_json(help="Print everything as JSON.")
def list_triggers(workspace: str | None, as_json: bool) -> int:
    r"""List the targets: what calls them, what waits, what was given up, and what is wrong.

    The exit code is 1 where something is wrong.

    \b
    Examples:
        tailorbird triggers list
        tailorbird triggers list --workspace shop --json
    """
    state = state_of(load_settings(workspace=workspace))
    if as_json:
        emit({"targets": [_plain(each) for each in state.targets], "problems": state.problems}, as_json=True)
        return int(bool(state.problems))
    table(
        [
            {
                "target": each.name,
                "address": each.url or "-",
                "called when somebody": "; ".join(each.calls) or "-",
                "waiting": each.counts.waiting,
                "dead": each.counts.dead,
            }
            for each in state.targets
        ]
    )
    for problem in state.problems:
        say(problem)
    emit({"targets": len(state.targets), "problems": len(state.problems)}, as_json=False)
    return int(bool(state.problems))


@triggers.command("dead")
@click.option("--target", metavar="TARGET", help="Of this target alone.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many."
)
@_workspace
@_json(help="Print them as JSON, with what would be sent.")
def dead_letters(target: str | None, limit: int, workspace: str | None, as_json: bool) -> None:
    r"""List what was given up, the newest first, and why.

    \b
    Examples:
        tailorbird triggers dead
        tailorbird triggers dead --target crm --limit 20 --json
    """
    with _queue(load_settings(workspace=workspace)) as queue:
        found = queue.dead(target=target, limit=limit) if queue else []
    if as_json:
        emit({"dead": [_letter(each) for each in found]}, as_json=True)
        return
    table(
        [
            {
                "given up": _instant(each.died),
                "target": each.delivery.target,
                "person": each.delivery.person,
                "tries": each.delivery.attempts,
                "why": each.delivery.reason,
                "id": each.delivery.id,
            }
            for each in found
        ]
    )
    emit({"dead": len(found)}, as_json=False)


@triggers.command("replay")
@click.option("--target", metavar="TARGET", help="What was given up of this target.")
@click.option("--id", "identity", metavar="ID", help="One delivery, as `dead` names it.")
@_workspace
@_json(help="Print how many as JSON.")
def replay(target: str | None, identity: str | None, workspace: str | None, as_json: bool) -> None:
    r"""Have what was given up tried again, under the same ids; without options all of it.

    The platform that serves this workspace sends it, within a second or when it next serves.

    \b
    Examples:
        tailorbird triggers replay
        tailorbird triggers replay --target crm
        tailorbird triggers replay --id delivery-0f6a --json
    """
    with _queue(load_settings(workspace=workspace)) as queue:
        count = queue.replay(now=time.time(), target=target, identity=identity) if queue else 0
    if identity is not None and not count:
        raise UsageError(
            f"no dead letter has the id {identity!r}", remedy="`tailorbird triggers dead` names them"
        )
    emit({"replayed": count}, as_json=as_json)


@triggers.command("test")
@click.argument("target")
@_workspace
@_json(help="Print the outcome as JSON.")
def test(target: str, workspace: str | None, as_json: bool) -> None:
    r"""Call TARGET once, now, with a signed body of type `test`, and say what it answers.

    Ends with an error where it was not taken.

    \b
    Examples:
        tailorbird triggers test crm
        tailorbird triggers test crm --workspace shop --json
    """
    from serving.triggers.sender import Sender
    from tailorbird.triggers.addresses import Allowed

    settings = load_settings(workspace=workspace)
    sender = Sender(_declared(settings, target), Allowed.of(settings.callable_origins))
    started = time.perf_counter()
    outcome = sender.send(_trial(target))
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    sender.close()
    if not outcome.delivered:
        raise TailorbirdError(
            f"target {target} did not take it: {outcome.reason}",
            remedy="docs/guides/triggers.md says what a subscriber answers and which addresses may be called",
        )
    emit({"target": target, "status": outcome.status, "tookMs": took_ms}, as_json=as_json)


def _declared(settings: Settings, name: str) -> Target:
    path = settings.folder / TRIGGERS_FILE
    declared = read_triggers(path)
    if declared is None or name not in declared.targets:
        known = ", ".join(declared.targets) if declared else "there is no such file"
        raise UsageError(f"no target {name!r} in {path}: {known}", remedy=f"declare [targets.{name}] there")
    return declared.targets[name]


def _trial(target: str) -> Delivery:
    identity = f"test-{uuid.uuid4().hex}"
    body = {"id": identity, "type": "test", "at": _instant(time.time())}
    return Delivery(identity, target, "", orjson.dumps(body), time.time())


@contextmanager
def _queue(settings: Settings) -> Iterator[DeliveryQueue | None]:
    """The queue of a workspace; None, and nothing is made, where there is none."""
    if not (settings.folder / QUEUE_FILE).exists():
        yield None
        return
    queue = DeliveryQueue(settings.folder)
    try:
        yield queue
    finally:
        queue.close()


def _plain(target: TargetState) -> dict[str, object]:
    counts = target.counts
    return {
        "name": target.name,
        "url": target.url,
        "calls": list(target.calls),
        "waiting": counts.waiting,
        "dead": counts.dead,
        "dropped": counts.dropped,
        "nextAt": None if counts.next_at is None else _instant(counts.next_at),
        "problem": target.problem,
    }


def _letter(letter: DeadLetter) -> dict[str, object]:
    delivery = letter.delivery
    return {
        "id": delivery.id,
        "target": delivery.target,
        "person": delivery.person,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "created": _instant(delivery.created),
        "died": _instant(letter.died),
        "body": orjson.loads(delivery.body),
    }


def _instant(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
