"""``tailorbird restrict`` and ``tailorbird object``: what is known of a person is kept and not used; a purpose is objected to."""

from collections.abc import Sequence
from contextlib import closing

import click

from tailorbird.audit.record import OBJECT, RESTRICT, at_this_terminal, record
from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.policy.words import Said
from tailorbird.settings import load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_anonymous = click.option("--anonymous", is_flag=True, help="USER_ID is an anonymous id.")
_reason = click.option("--reason", default="", help="Kept sealed under the person's own key.")
_json = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")


@click.command()
@click.argument("user_id")
@click.option("--lift", is_flag=True, help="Use what is known again, all of it.")
@_reason
@_anonymous
@_workspace
@_json
def restrict(
    user_id: str, lift: bool, reason: str, anonymous: bool, workspace: str | None, as_json: bool
) -> None:
    r"""Keep what is known of a person, and what comes, and use it for nothing (GDPR, article 18).

    \b
    Examples:
        tailorbird restrict u1 --reason "says the address is wrong"
        tailorbird restrict u1 --lift
    """
    _store(
        user_id,
        Said.restriction(not lift, reason=reason),
        what=RESTRICT,
        anonymous=anonymous,
        workspace=workspace,
        as_json=as_json,
    )


@click.command("object")
@click.argument("user_id")
@click.option(
    "--to", "purposes", multiple=True, required=True, metavar="PURPOSE", help="May be given repeatedly."
)
@_reason
@_anonymous
@_workspace
@_json
def object_to(
    user_id: str,
    purposes: Sequence[str],
    reason: str,
    anonymous: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""End the use of what is known of a person for a purpose, whatever the legal basis (GDPR, article 21).

    \b
    Examples:
        tailorbird object u1 --to advertising
        tailorbird object a-7f3e --anonymous --to personalization --to analytics
    """
    _store(
        user_id,
        Said.objection(purposes, reason=reason),
        what=OBJECT,
        anonymous=anonymous,
        workspace=workspace,
        as_json=as_json,
    )


def _store(
    user_id: str, said: Said, *, what: str, anonymous: bool, workspace: str | None, as_json: bool
) -> None:
    from serving.privacy.consents import ConsentKeeper

    settings = load_settings(workspace=workspace)
    with closing(Door.of(settings)) as door:
        said.require(door.policy.purposes)
        person = door.person(user_id, anonymous=anonymous)
        record(
            settings,
            who=at_this_terminal(),
            what=what,
            person=person,
            detail={"purposes": dict(said.purposes)},
        )
        if not door.book.known([person]):
            say(f"nothing is known of {user_id!r} so far: it holds for what comes")
        told = ConsentKeeper(settings, door=door).say(user_id, said, anonymous=anonymous)
    if told.delayed:
        say("stored; the live profile follows")
    found = {"purposes": dict(told.purposes), "restricted": told.restricted}
    emit({**found, "history": list(told.history)} if as_json else found, as_json=as_json)
