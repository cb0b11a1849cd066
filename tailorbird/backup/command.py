"""``tailorbird backup``: copies that an erasure reaches."""

import datetime as dt
import time
from functools import partial
from pathlib import Path

import click

from tailorbird.audit.record import BACKUP, DROP_BACKUP, RESTORE, at_this_terminal, record
from tailorbird.backup.keys import KEYRING_FILE, KEYS_FOLDER
from tailorbird.backup.known import drop_backups, known_backups
from tailorbird.backup.making import make_backup
from tailorbird.backup.manifest import Manifest, backups_in
from tailorbird.backup.restoring import Looked, find_backup, look_into, require_absent
from tailorbird.backup.restoring import restore as put_back
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.master import given_from_outside, master_file
from tailorbird.settings import Settings, load_settings

_workspace = click.option(
    "--workspace", metavar="NAME", help="Which workspace.  [default: TAILORBIRD_WORKSPACE or shop]"
)
_json = partial(click.option, "--json", "as_json", is_flag=True)
_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group()
def backup() -> None:
    r"""Keep copies of a workspace that an erasure reaches, and put one back.

    Everything of a person is sealed under their own key; the keys lie beside the backups, once for all of them. `mlruns`, in which the
    models are, is backed up as MLflow's documentation says.

    \b
    Examples:
        tailorbird backup make /mnt/backups/shop
        tailorbird backup list /mnt/backups/shop
        tailorbird backup check /mnt/backups/shop
        tailorbird backup restore /mnt/backups/shop --workspace shop2 --master-key master.key
    """


@backup.command()
@_folder
@_workspace
@_json(help="Print what was kept as JSON.")
def make(folder: Path, workspace: str | None, as_json: bool) -> None:
    r"""Put a new backup into FOLDER, while everything goes on; call it nightly.

    From then on an erasure destroys the person's key in FOLDER, too, so leave it where it is.

    \b
    Examples:
        tailorbird backup make /mnt/backups/shop
        tailorbird backup make backups --json
    """
    settings, folder = load_settings(workspace=workspace), folder.absolute()
    if settings.folder.is_dir():
        record(settings, who=at_this_terminal(), what=BACKUP)
    began = time.monotonic()
    with progress("reading") as bar:
        made = make_backup(
            settings, folder, advance=bar.advance, stage=lambda words: bar.restart(description=words)
        )
    if made.without_key:
        say(f"left out, of people who have no key (any more): {made.without_key:,} records")
    if not given_from_outside(settings):
        say(f"the master key is not in it: keep a copy of {master_file(settings)} elsewhere")
    size = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    took = round(time.monotonic() - began, 2)
    emit(
        {"backup": str(made.folder), "bytes": size, **made.manifest.counts, "seconds": took}, as_json=as_json
    )


@backup.command("list")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@_workspace
@_json(help="Print them as JSON.")
def list_all(folder: Path | None, workspace: str | None, as_json: bool) -> None:
    r"""List backups, the newest first: those of FOLDER, or of every folder that the workspace knows.

    \b
    Examples:
        tailorbird backup list
        tailorbird backup list /mnt/backups/shop --json
    """
    folders = [folder.absolute()] if folder else known_backups(load_settings(workspace=workspace).folder)
    found = []
    for each in folders:
        rows = []
        for path in reversed(backups_in(each)):
            manifest = Manifest.read(path)
            made = dt.datetime.fromtimestamp(manifest.made, dt.UTC).isoformat(timespec="seconds")
            rows.append({"backup": path.name, "workspace": manifest.workspace, **manifest.counts})
            found.append({**rows[-1], "backup": str(path), "made": made})
        if not as_json:
            say(f"{each}:")
            table(rows)
    emit({"backups": found if as_json else len(found)}, as_json=as_json)


@backup.command()
@_folder
@_workspace
@_json(help="Print what was found as JSON.")
def check(folder: Path, workspace: str | None, as_json: bool) -> int:
    r"""Read a backup from end to end: whether its files are as they were written, and how much of it opens.

    FOLDER is a backup, or a folder of them, of which the newest is meant. Ends with 1 where files are not as they were written.

    \b
    Examples:
        tailorbird backup check /mnt/backups/shop
        tailorbird backup check /mnt/backups/shop/20261129T020000Z --json
    """
    settings, found = load_settings(workspace=workspace), find_backup(folder.absolute())
    if not settings.folder.is_dir():
        raise UsageError(
            f"there is no workspace {settings.workspace!r} here, whose keys would open {found}",
            remedy="give --workspace, or restore it under a new name",
        )
    with progress("reading") as bar:
        looked = look_into(found, open_keyring(settings), advance=bar.advance)
    _show(found, looked, as_json=as_json)
    return int(bool(looked.wrong))


@backup.command()
@_folder
@click.option(
    "--master-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the master key, which becomes the workspace's own; not needed where the key comes from outside.",
)
@_workspace
@_json(help="Print what was restored as JSON.")
def restore(folder: Path, master_key: Path | None, workspace: str | None, as_json: bool) -> None:
    r"""Make a workspace from a backup, where there is none of that name.

    FOLDER is a backup, or a folder of them, of which the newest is meant. People who were erased since do not come back.

    \b
    Examples:
        tailorbird backup restore /mnt/backups/shop --master-key master.key
        tailorbird backup restore /mnt/backups/shop/20261129T020000Z --workspace shop2
    """
    settings, found = load_settings(workspace=workspace), find_backup(folder.absolute())
    require_absent(settings)
    _require_key(settings, found, master_key)
    with progress("files") as bar:
        looked = put_back(
            settings,
            found,
            master_key=master_key,
            advance=bar.advance,
            stage=lambda words: bar.restart(description=words),
        )
    record(settings, who=at_this_terminal(), what=RESTORE, whom=found.name)
    _show(found, looked, as_json=as_json)
    say(f"now: tailorbird features --workspace {settings.workspace}")
    if looked.manifest.workspace == settings.workspace:
        say(f"its models are those of {settings.mlruns}")
    else:
        say(
            f"it has no models yet: those of {looked.manifest.workspace!r} are of that name alone; train anew"
        )


@backup.command()
@_folder
@_workspace
def drop(folder: Path, workspace: str | None) -> None:
    r"""Know a folder of backups no more, as it is gone for good: an erasure then does not wait for it.

    \b
    Examples:
        tailorbird backup drop /mnt/old-disk/shop
    """
    settings, known = load_settings(workspace=workspace), {folder.absolute(), folder.resolve()}
    if not known.isdisjoint(known_backups(settings.folder)):
        record(settings, who=at_this_terminal(), what=DROP_BACKUP)
    if not drop_backups(settings.folder, folder.absolute()):
        raise UsageError(
            f"workspace {settings.workspace!r} knows no backups in {folder.absolute()}",
            remedy="`tailorbird backup list` names them",
        )
    emit({"dropped": str(folder.absolute())}, as_json=False)


def _require_key(settings: Settings, found: Path, master_key: Path | None) -> None:
    if master_key is None and not given_from_outside(settings):
        raise UsageError(
            f"{found.parent / KEYS_FOLDER / KEYRING_FILE} opens with a master key alone",
            remedy="give --master-key FILE, or one of TAILORBIRD_MASTER_KEY, _FILE, _COMMAND",
        )


def _show(found: Path, looked: Looked, *, as_json: bool) -> None:
    rows = [
        {"what": name, "opened": count, "of people without a key": looked.gone[name]}
        for name, count in looked.readable.items()
    ]
    if as_json:
        said = {
            "opened": looked.readable,
            "of_people_without_a_key": looked.gone,
            "wrong_files": looked.wrong,
        }
        emit({"backup": str(found), "workspace": looked.manifest.workspace, **said}, as_json=True)
        return
    table(rows)
    for name in looked.wrong[:10]:
        say(f"not as it was written: {name}")
    emit({"backup": str(found), "wrong files": len(looked.wrong)}, as_json=False)
