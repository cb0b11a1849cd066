"""``tailorbird profile``: what the platform knows of one person, now or at an instant of the past."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import click

from tailorbird.audit.record import READ_PROFILE, at_this_terminal, record
from tailorbird.catalog.store import bring_catalog
from tailorbird.errors import UsageError
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.portrait.portrait import Portrait, Window
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings


@click.command()
@click.argument("user_id")
@click.option("--anonymous", is_flag=True, help="USER_ID is an anonymous id.")
@click.option(
    "--at", metavar="INSTANT", help="As of then: ISO 8601, UTC where it names no zone.  [default: now]"
)
@click.option("--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, the models' features too.")
def profile(user_id: str, anonymous: bool, at: str | None, workspace: str | None, as_json: bool) -> None:
    r"""Show what the platform knows of a person: their segment, what they did lately, what they like, what they have hidden.

    Without --at it is the live profile, which the next answer will be made from. With it, the profile as it was known at
    that instant, made again from the events received by then.

    \b
    Examples:
        tailorbird profile u1
        tailorbird profile a-7f3e --anonymous
        tailorbird profile u1 --at 2026-11-01T12:00 --json
    """
    settings = load_settings(workspace=workspace)
    from feature_repo.layout import require_applied
    from feature_repo.portraits import Portraits
    from serving.segments.live import LiveSegments
    from tailorbird.privacy.door.door import Door
    from tailorbird.privacy.door.told import told_to_caller
    from tailorbird.segments.rules.file import RulesFile

    bring_catalog(settings)
    require_applied(settings)
    door = Door.of(settings)
    key = door.person(user_id, anonymous=anonymous)
    record(settings, who=at_this_terminal(), what=READ_PROFILE, person=key)
    segments = LiveSegments(settings)
    segments.check()
    if segments.trouble:
        say(segments.trouble)
    rules = RulesFile(settings.folder, clock=time.monotonic)
    if rules.trouble:
        say(rules.trouble)
    portraits = Portraits(settings, segments=segments, rules=rules)
    found = portraits.live(key) if at is None else portraits.at(key, parsed_instant(at))
    found = told_to_caller(found, door, asked=user_id)
    if as_json:
        emit(found.plain(), as_json=True)
    else:
        _show(found)


def parsed_instant(text: str) -> float:
    """Epoch seconds of an ISO 8601 instant; UTC where it names no zone. Raises UsageError where it is none."""
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"at = {text!r} is no instant", remedy="write it as 2026-11-01T12:00:00Z") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)).timestamp()


def _show(portrait: Portrait) -> None:
    """Tables on stderr, the short of it on stdout."""
    if portrait.consents.get(PERSONALIZATION, True) is False:
        say("this person refuses personalization: no profile of theirs is kept or read")
    if portrait.restricted:
        say(
            "what is known of this person is kept and used for nothing: `tailorbird restrict --lift` ends that"
        )
    said = portrait.plain()
    table(
        [
            {"when": event["at"], "what": event["type"], "item": event["item_id"], "value": event["value"]}
            for event in said["last_events"]
        ],
        title="Last events",
    )
    table([_row(name, window) for name, window in portrait.windows.items()], title="Windows")
    for title, tastes in (("Categories", portrait.categories), ("Brands", portrait.brands)):
        rows = [
            {"name": each.name or "(gone from the catalogue)", "share": f"{each.share:.0%}"}
            for each in tastes
        ]
        table(rows, title=title)
    segment = said["segment"]
    if segment:
        rows = [{"segment": each["name"], "share": f"{each['share']:.0%}"} for each in segment["memberships"]]
        table(rows, title="Segments")
    emit(
        {
            "person": portrait.user_key,
            "segment": segment and _placed(segment),
            "consents": ", ".join(
                f"{purpose}: {'yes' if given else 'no'}" for purpose, given in portrait.consents.items()
            ),
            "rules": ", ".join(rule["name"] for rule in said["rules"]),
            "linked": ", ".join(portrait.linked),
            "at": said["at"],
            "events": portrait.events,
            "first seen": said["first_seen"],
            "last seen": said["last_seen"],
            "usual prices": "{} to {}".format(*portrait.price) if portrait.price else None,
            "items met": portrait.had,
            "hidden": ", ".join(portrait.hidden),
            "version": portrait.version,
        },
        as_json=False,
    )


def _placed(segment: Mapping[str, Any]) -> str:
    """The segment in words, and what is usual where that is another."""
    name, usual = segment["name"], segment["incumbent"]
    moved = f", usually {usual}" if usual != segment["key"] else ""
    return f"{name} (evidence {segment['evidence']}{moved}; segment model {segment['model_version']})"


def _row(name: str, window: Window) -> dict[str, object]:
    return {
        "window": name,
        "events": f"{'' if window.complete else 'at least '}{window.events}",
        "items": window.items,
        "spent": window.spent,
        "types": ", ".join(f"{count} {kind}" for kind, count in window.types.items()),
    }
