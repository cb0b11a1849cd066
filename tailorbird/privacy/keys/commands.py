"""``tailorbird secrets``: the master key and the keyring."""

import click

from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.keys.keyring import keyring_file, open_keyring, rotate
from tailorbird.privacy.keys.master import decoded, encoded, given_from_outside, master_file
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.settings import load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
NEW_MASTER = "TAILORBIRD_NEW_MASTER_KEY"


@click.group()
def secrets() -> None:
    r"""Look after the keys that people's names and data are kept with.

    \b
    Examples:
        tailorbird secrets show
        tailorbird secrets rotate
        tailorbird secrets new-key > master.key; chmod 600 master.key
    """


@secrets.command()
@_workspace
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def show(workspace: str | None, as_json: bool) -> None:
    r"""Say where the keys are and whether they open; never a key.

    Machines that share people must show the same fingerprint.

    \b
    Examples:
        tailorbird secrets show
        tailorbird secrets show --json
    """
    settings = load_settings(workspace=workspace)
    keyring = open_keyring(settings)
    origin = "from outside" if given_from_outside(settings) else str(master_file(settings))
    emit(
        {"keyring": str(keyring_file(settings)), "fingerprint": keyring.fingerprint, "master_key": origin},
        as_json=as_json,
    )


@secrets.command("new-key")
def make_key() -> None:
    r"""Print a new master key: 32 random bytes in base64.

    \b
    Examples:
        tailorbird secrets new-key
    """
    click.echo(encoded(new_key()))


@secrets.command("rotate")
@_workspace
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option(
    "--new-master-key",
    envvar=NEW_MASTER,
    show_envvar=True,
    help="The key that is to wrap the keyring from now on; in the environment, not on the command line.  [default: a random one]",
)
def rotate_keys(workspace: str | None, as_json: bool, new_master_key: str | None) -> None:
    r"""Wrap the keyring by another master key: pseudonyms and data stay as they are, whatever runs goes on.

    A master key that comes from outside is exchanged there by its owner; until the next rotation the keyring opens by both.

    \b
    Examples:
        tailorbird secrets rotate
        TAILORBIRD_NEW_MASTER_KEY=... tailorbird secrets rotate
    """
    settings = load_settings(workspace=workspace)
    outside = given_from_outside(settings)
    if outside and not new_master_key:
        raise click.UsageError(f"the master key comes from outside: give the new one in {NEW_MASTER}")
    key = decoded(new_master_key, origin=NEW_MASTER) if new_master_key else new_key()
    keyring = rotate(settings, new_master=key)
    if outside:
        say("now put the new key in the old one's place; until the next rotation both open the keyring")
    emit({"fingerprint": keyring.fingerprint, "rotated": True}, as_json=as_json)
