"""Where backups of a workspace lie: an erasure has to find the keys beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone
from tailorbird.privacy.keys.master import write_privately
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER

BACKUPS_FILE = "backups.json"


class Backups(NamedTuple):
    """``known`` folders, in the order in which they were first used; ``dropped`` ones are known no more, and no erasure reaches them."""

    known: tuple[Path, ...] = ()
    dropped: tuple[Path, ...] = ()


def read_backups(workspace_folder: Path) -> Backups:
    """Where backups of a workspace lie, and lay. Raises TailorbirdError where the list is damaged."""
    path = workspace_folder / PRIVACY_FOLDER / BACKUPS_FILE
    try:
        said = json.loads(path.read_text("utf-8"))
        return Backups(tuple(map(Path, said["folders"])), tuple(map(Path, said.get("dropped", ()))))
    except FileNotFoundError:
        return Backups()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TailorbirdError(f"{path} cannot be read: {error}", remedy="bring it back") from error


def known_backups(workspace_folder: Path) -> list[Path]:
    """The folders of backups. Raises TailorbirdError where the list is damaged."""
    return list(read_backups(workspace_folder).known)


def note_backups(workspace_folder: Path, backups: Path) -> None:
    """Know a folder of backups from now on, wherever a link to it may lead later; before a key is put there."""
    backups = backups.resolve()

    def noted(found: Backups) -> Backups:
        known = found.known if backups in found.known else (*found.known, backups)
        return Backups(known, tuple(each for each in found.dropped if each != backups))

    _change(workspace_folder, noted)


def drop_backups(workspace_folder: Path, backups: Path) -> bool:
    """Know a folder no more, as it is gone for good; whether it was known."""
    meant = {backups, backups.resolve()}
    found = not meant.isdisjoint(known_backups(workspace_folder))

    def dropped(found: Backups) -> Backups:
        gone = [each for each in found.known if each in meant and each not in found.dropped]
        return Backups(tuple(each for each in found.known if each not in meant), (*found.dropped, *gone))

    _change(workspace_folder, dropped)
    return found


def _change(workspace_folder: Path, change: Callable[[Backups], Backups]) -> None:
    path = workspace_folder / PRIVACY_FOLDER / BACKUPS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(".backups.lock")):
        known, dropped = change(read_backups(workspace_folder))
        said = {"folders": [str(each) for each in known], "dropped": [str(each) for each in dropped]}
        write_privately(path, json.dumps(said))
