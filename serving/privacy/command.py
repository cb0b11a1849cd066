"""``tailorbird erase``: people erased from the command line, receipts shown, and whether they are true."""

import datetime as dt
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import orjson

from tailorbird.audit.record import ERASE, at_this_terminal, record
from tailorbird.backup.known import read_backups
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.erasure.erasing import Erasing, looked_into
from tailorbird.privacy.erasure.receipt import ModelState, Receipt, is_signed
from tailorbird.settings import load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_json = partial(click.option, "--json", "as_json", is_flag=True)


@click.group()
def erase() -> None:
    r"""Erase people everywhere, and prove that nothing of them is left.

    \b
    Examples:
        tailorbird erase run --user u1
        tailorbird erase list
        tailorbird erase verify er_0123abcd
    """


@erase.command("run")
@click.option("--user", "users", metavar="ID", multiple=True, help="Erase this user; may be given again.")
@click.option("--anonymous", "anonymous", metavar="ID", multiple=True, help="Erase this anonymous id.")
@click.option(
    "--file",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Erase the users of this file, an id a line.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@_workspace
@_json(help="Print the receipts as JSON.")
def run(
    users: Sequence[str],
    anonymous: Sequence[str],
    listed: Path | None,
    dry_run: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""Erase people, and finish what an interrupted erasure left; without a name, only that.

    However many they are, they go in one pass. A platform that serves the workspace may go on.

    \b
    Examples:
        tailorbird erase run --user u1 --dry-run
        tailorbird erase run --user u1 --anonymous a7
        tailorbird erase run --file gone.txt --json
    """
    erasing = _erasing(workspace)
    names = [*users, *(listed.read_text("utf-8").split("\n") if listed else ())]
    with closing(Door.of(load_settings(workspace=workspace))) as door:
        people = [door.person(each.strip()) for each in names if each.strip()]
        people += [door.person(each, anonymous=True) for each in anonymous]
    if dry_run:
        found = [erasing.would_go(each) for each in people]
    else:
        for each in people:
            record(load_settings(workspace=workspace), who=at_this_terminal(), what=ERASE, person=each)
        asked = [erasing.ask(each) for each in people]
        while erasing.run():
            pass
        found = [erasing.ledger.find(each.id) or each for each in asked]
    _show(found, as_json=as_json)
    if not dry_run and any(each.state != "done" for each in found):
        raise TailorbirdError(
            "another process is erasing people of this workspace",
            remedy="`tailorbird erase list` says how far it is",
        )


@erase.command("list")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="The newest so many."
)
@_workspace
@_json(help="Print them as JSON.")
def list_receipts(limit: int, workspace: str | None, as_json: bool) -> None:
    r"""List erasures, the newest first, and how far each is.

    \b
    Examples:
        tailorbird erase list
        tailorbird erase list --limit 10 --json
    """
    _show(_erasing(workspace).ledger.newest(limit=limit), as_json=as_json)


@erase.command("show")
@click.argument("receipt")
@_workspace
@_json(help="Print it as JSON.")
def show(receipt: str, workspace: str | None, as_json: bool) -> None:
    r"""Show a receipt: each place with what was found there, and what has become of the models in use.

    \b
    Examples:
        tailorbird erase show er_0123abcd
        tailorbird erase show er_0123abcd --json > receipt.json
    """
    from serving.privacy.erasures import with_models_now

    found = _found(_erasing(workspace), receipt)
    _show_one(with_models_now(load_settings(workspace=workspace), found), as_json=as_json)


@erase.command("verify")
@click.argument("receipt")
@_workspace
@_json(help="Print what was found as JSON.")
def verify(receipt: str, workspace: str | None, as_json: bool) -> int:
    r"""Look into every place whether anything of the person of a receipt is left, and whether it is signed by us.

    RECEIPT is its id, or a file with what `show --json` printed. The exit code is 1 where something is left or was changed.
    What has become of the models is shown beside: they forget by `tailorbird forget` and by training.

    \b
    Examples:
        tailorbird erase verify er_0123abcd
        tailorbird erase verify receipt.json --json
    """
    from serving.privacy.erasures import with_models_now

    erasing = _erasing(workspace)
    found = _found(erasing, receipt)
    if found.state != "done":
        raise UsageError(f"erasure {found.id} is {found.state}", remedy="wait until it is done")
    genuine = is_signed(found, erasing.signing_key())
    left, unseen = looked_into(erasing.places, found.people)
    missing = [each.name for each in erasing.places if found.place(each.name) is None]
    table([{"place": name, "left": count} for name, count in left.items()])
    if not genuine:
        say("the signature is not ours, or something was changed since")
    for name in missing:
        say(f"the receipt does not speak of {name}")
    for name, why in unseen.items():
        say(f"{name} cannot be looked into: {why}")
    dropped: list[str] = []
    with suppress(TailorbirdError):  # said above, of the place
        dropped += map(str, read_backups(erasing.folder).dropped)
    for folder in dropped:
        say(f"not looked into: the backups in {folder}, which `tailorbird backup drop` gave up")
    models = with_models_now(load_settings(workspace=workspace), found).models
    table([_model(each) for each in models])
    whole = genuine and not missing and not unseen and not any(left.values())
    said = {"receipt": found.id, "signed": genuine, "left": left, "unseen": unseen, "erased": whole}
    said["dropped_backups"] = dropped
    emit({**said, "models": [asdict(each) for each in models]} if as_json else said, as_json=as_json)
    return int(not whole)


def _erasing(workspace: str | None) -> Erasing:
    from serving.privacy.erasures import open_erasing

    return open_erasing(load_settings(workspace=workspace))


def _found(erasing: Erasing, named: str) -> Receipt:
    if Path(named).is_file():
        try:
            said = orjson.loads(Path(named).read_bytes())
        except orjson.JSONDecodeError as error:
            raise UsageError(
                f"{named} is no receipt: {error}", remedy="give one as `show --json` prints it"
            ) from error
        return Receipt.of_plain(said)
    found = erasing.ledger.find(named)
    if found is None:
        raise UsageError(f"no receipt {named!r}", remedy="`tailorbird erase list` names them")
    return found


def _show(receipts: Sequence[Receipt], *, as_json: bool) -> None:
    if as_json:
        emit({"receipts": [each.plain() for each in receipts]}, as_json=True)
        return
    if len(receipts) == 1:
        _show_one(receipts[0], as_json=False)
        return
    table(
        [
            {
                "receipt": each.id or "-",
                "person": each.person,
                "asked": _instant(each.asked_at),
                "state": each.state,
                "found": each.found,
            }
            for each in receipts
        ]
    )
    emit({"receipts": len(receipts)}, as_json=False)


def _show_one(receipt: Receipt, *, as_json: bool) -> None:
    if as_json:
        emit(receipt.plain(), as_json=True)
        return
    table(
        [
            {"place": each.name, "found": each.found, "state": each.state, "": each.words}
            for each in receipt.places
        ]
    )
    table([_model(each) for each in receipt.models])
    if receipt.problem:
        say(f"not finished yet: {receipt.problem}")
    emit(
        {
            "receipt": receipt.id or "-",
            "state": receipt.state if receipt.id else "nothing was done",
            "people": list(receipt.people),
            "found": receipt.found,
        },
        as_json=False,
    )


def _model(each: ModelState) -> dict[str, object]:
    return {
        "alias": each.alias,
        "version": f"{each.name} {each.version}",
        "held": each.held,
        "now": each.now or "-",
        "state": each.state,
        "why": each.why,
    }


def _instant(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
