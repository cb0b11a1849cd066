"""``tailorbird keys``: make, list, rotate and revoke the keys that callers need."""

import datetime as dt
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import click

from tailorbird.access.changes import Wish, add_key, revoke_key, rotate_key
from tailorbird.access.file import read_keys
from tailorbird.access.keys import SCOPES, Key
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_json = partial(click.option, "--json", "as_json", is_flag=True)


class Duration(click.ParamType):
    """A span of time such as 90d, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of ``value``."""
        if isinstance(value, (int, float)):
            return float(value)
        found = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if not found:
            self.fail(f"{value!r} is none of 30s, 15m, 12h, 90d", param, ctx)
        return float(int(found[1]) * _UNITS[found[2]])


@click.group()
def keys() -> None:
    r"""Make, list, rotate and revoke the API keys of a workspace. Once it has one, every call needs one.

    A running service knows of a change within a second or two.

    \b
    Examples:
        tailorbird keys new --name shop-backend --scope recommend --scope collect
        tailorbird keys list
        tailorbird keys revoke 6f1d0c2b9a3e4f58
    """


@keys.command("new")
@click.option("--name", required=True, metavar="NAME", help="Whose it is, for people.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What it may; again for more.",
)
@click.option(
    "--expires",
    type=Duration(),
    metavar="SPAN",
    help="After how long it ends, such as 90d.  [default: never]",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="How often it may call, such as 100/second or 1000000/day.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Makes it a public key, for the pages of this origin.",
)
@_workspace
@_json(help="Print the key as JSON.")
def new(
    name: str,
    scopes: Sequence[str],
    expires: float | None,
    limits: Sequence[str],
    origins: Sequence[str],
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""Make a key. Its token is printed now and never again: only its hash is kept.

    \b
    Examples:
        tailorbird keys new --name shop-backend --scope recommend --scope collect --limit 500/second
        tailorbird keys new --name shop-pages --scope recommend --scope collect --origin https://shop.example
        tailorbird keys new --name ann --scope admin --expires 90d --json
    """
    settings, now = load_settings(workspace=workspace), time.time()
    if not settings.folder.is_dir():
        raise UsageError(
            f"there is no workspace {settings.workspace!r} in {settings.home}",
            remedy="run `tailorbird ingest` first",
        )
    first = not read_keys(settings.keys_file)
    wish = Wish(name, scopes, lasts=expires, origins=origins, limits=limits)
    key, token = add_key(settings, wish, now=now)
    if first:
        say("this workspace has a key now: every call needs one")
    say("the token is not kept: put it where it is needed, now")
    emit({"token": token, **_plain(key, now=now)}, as_json=as_json)


@keys.command("list")
@_workspace
@_json(help="Print them as JSON.")
def list_keys(workspace: str | None, as_json: bool) -> None:
    r"""List the keys, the oldest first; their tokens are not known.

    \b
    Examples:
        tailorbird keys list
        tailorbird keys list --workspace shop --json
    """
    settings, now = load_settings(workspace=workspace), time.time()
    found = [_plain(key, now=now) for key in read_keys(settings.keys_file) or ()]
    if as_json:
        emit({"keys": found}, as_json=True)
        return
    table(
        [
            {
                "id": each["id"],
                "name": each["name"],
                "state": each["state"],
                "scopes": ", ".join(each["scopes"]),
                "expires": each["expires"] or "-",
                "origins": ", ".join(each["origins"]) or "-",
                "limits": ", ".join(each["limits"]) or "-",
            }
            for each in found
        ]
    )
    emit({"keys": len(found)}, as_json=False)


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap",
    type=Duration(),
    default="1d",
    show_default=True,
    metavar="SPAN",
    help="How long the old token still opens.",
)
@click.option(
    "--expires",
    type=Duration(),
    metavar="SPAN",
    help="After how long the key ends now.  [default: as before]",
)
@_workspace
@_json(help="Print the key as JSON.")
def rotate(key_id: str, overlap: float, expires: float | None, workspace: str | None, as_json: bool) -> None:
    r"""Give a key a new token; the one before opens for a while more, so that callers can change over.

    \b
    Examples:
        tailorbird keys rotate 6f1d0c2b9a3e4f58
        tailorbird keys rotate 6f1d0c2b9a3e4f58 --overlap 0s --json
    """
    settings, now = load_settings(workspace=workspace), time.time()
    key, token = rotate_key(settings, key_id, now=now, overlap_seconds=overlap, lasts=expires)
    say("the token is not kept: put it where it is needed, now")
    emit({"token": token, **_plain(key, now=now)}, as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
@click.option("--forget", is_flag=True, help="Take it off the list too.")
@_workspace
@_json(help="Print the key as JSON.")
def revoke(key_id: str, forget: bool, workspace: str | None, as_json: bool) -> None:
    r"""End a key at once. It stays in the list, so that one can read whose it was.

    Once the last key is revoked nobody gets in: a workspace that had keys does not open by itself.

    \b
    Examples:
        tailorbird keys revoke 6f1d0c2b9a3e4f58
        tailorbird keys revoke 6f1d0c2b9a3e4f58 --forget --json
    """
    settings, now = load_settings(workspace=workspace), time.time()
    key = revoke_key(settings, key_id, now=now, forget=forget)
    emit(_plain(key, now=now), as_json=as_json)


def _plain(key: Key, *, now: float) -> Mapping[str, Any]:
    olds = [each.until for each in key.secrets if each.until is not None and each.until > now]
    return {
        "id": key.id,
        "name": key.name,
        "state": _state(key, now=now),
        "scopes": sorted(key.scopes),
        "created": _instant(key.created),
        "expires": _instant(key.expires),
        "oldTokenUntil": _instant(max(olds, default=None)),
        "origins": list(key.origins),
        "limits": list(key.limits),
    }


def _state(key: Key, *, now: float) -> str:
    if key.revoked is not None:
        return "revoked"
    return "expired" if key.expires is not None and key.expires <= now else "good"


def _instant(seconds: float | None) -> str | None:
    return (
        None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
    )
