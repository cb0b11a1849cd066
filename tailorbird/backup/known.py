"""Where backups of a workspace lie: an erasure has to find the keys beside them."""

import json
from collections.abc import Callable
from pathlib import Path

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.keys.master import write_privately
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER

BACKUPS_FILE = "backups.json"


def known_backups(workspace_folder: Path) -> list[Path]:
    """The folders of backups, in the order in which they were first used. Raises TailorbirdError where the list is damaged."""
    path = workspace_folder / PRIVACY_FOLDER / BACKUPS_FILE
    try:
        return [Path(each) for each in json.loads(path.read_text("utf-8"))["folders"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TailorbirdError(f"{path} cannot be read: {error}", remedy="bring it back") from error


def note_backups(workspace_folder: Path, backups: Path) -> None:
    """Know a folder of backups from now on, wherever a link to it may lead later; before a key is put there."""
    backups = backups.resolve()
    _change(workspace_folder, lambda known: known if backups in known else [*known, backups])


def drop_backups(workspace_folder: Path, backups: Path) -> bool:
    """Know a folder no more, as it is gone for good; whether it was known."""
    meant = {backups, backups.resolve()}
    found = not meant.isdisjoint(known_backups(workspace_folder))
    _change(workspace_folder, lambda known: [each for each in known if each not in meant])
    return found


def _change(workspace_folder: Path, change: Callable[[list[Path]], list[Path]]) -> None:
    path = workspace_folder / PRIVACY_FOLDER / BACKUPS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(".backups.lock")):
        folders = [str(each) for each in change(known_backups(workspace_folder))]
        write_privately(path, json.dumps({"folders": folders}))
