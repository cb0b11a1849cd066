"""``tailorbird consent``: what people allow and refuse, shown and set."""

from collections.abc import Sequence
from contextlib import closing

import click

from tailorbird.audit.record import CONSENT, READ_PROFILE, at_this_terminal, record
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.policy.words import Said
from tailorbird.settings import load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_anonymous = click.option("--anonymous", is_flag=True, help="USER_ID is an anonymous id.")
_json = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")


@click.group()
def consent() -> None:
    r"""Show and set what a person's data may be used for.

    \b
    Examples:
        tailorbird consent show u1
        tailorbird consent set u1 --no personalization --source phone
    """


@consent.command("show")
@click.argument("user_id")
@_anonymous
@_workspace
@_json
def show(user_id: str, anonymous: bool, workspace: str | None, as_json: bool) -> None:
    r"""Show what holds of a person now, and every word that was ever said.

    \b
    Examples:
        tailorbird consent show u1
        tailorbird consent show a-7f3e --anonymous --json
    """
    from serving.privacy.consents import ConsentKeeper

    settings = load_settings(workspace=workspace)
    with closing(Door.of(settings)) as door:
        person = door.person(user_id, anonymous=anonymous)
        record(settings, who=at_this_terminal(), what=READ_PROFILE, person=person)
        told = ConsentKeeper(settings, door=door).told(person)
    if not as_json:
        table(
            [
                {"at": row["at"], "words": row["words"], "source": row.get("source", "")}
                for row in told.history
            ],
            title="History",
        )
        if not told.purposes:
            say("this person has said nothing; the legal basis of the workspace holds")
    emit(
        {"purposes": dict(told.purposes), "history": list(told.history)} if as_json else told.purposes,
        as_json=as_json,
    )


@consent.command("set")
@click.argument("user_id")
@click.option("--yes", "given", metavar="PURPOSE", multiple=True, help="Allowed; may be given again.")
@click.option("--no", "refused", metavar="PURPOSE", multiple=True, help="Refused; may be given again.")
@click.option(
    "--version", "text_version", metavar="TEXT", default="", help="Version of the text that was shown."
)
@click.option("--source", metavar="TEXT", default="", help="Where it was said.")
@click.option("--proof", metavar="TEXT", default="", help="Kept sealed under the person's own key.")
@_anonymous
@_workspace
@_json
def set_consent(
    user_id: str,
    given: Sequence[str],
    refused: Sequence[str],
    text_version: str,
    source: str,
    proof: str,
    anonymous: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""Keep what a person allows and refuses; the next answer holds to it.

    \b
    Examples:
        tailorbird consent set u1 --no personalization --source phone
        tailorbird consent set u1 --yes personalization --yes analytics --version 2026-11
    """
    from serving.privacy.consents import ConsentKeeper

    both = sorted(set(given) & set(refused))
    if both:
        raise UsageError(f"{both[0]} is both allowed and refused", remedy="give one of --yes and --no")
    settings = load_settings(workspace=workspace)
    purposes = {**dict.fromkeys(given, True), **dict.fromkeys(refused, False)}
    said = Said(purposes, text_version, source, proof)
    with closing(Door.of(settings)) as door:
        said.require(door.policy.purposes)
        person = door.person(user_id, anonymous=anonymous)
        record(settings, who=at_this_terminal(), what=CONSENT, person=person, detail={"purposes": purposes})
        told = ConsentKeeper(settings, door=door).say(user_id, said, anonymous=anonymous)
    if told.delayed:
        say("stored; the live profile follows")
    emit(
        {"purposes": dict(told.purposes), "history": list(told.history)} if as_json else told.purposes,
        as_json=as_json,
    )
