"""``tailorbird features``: apply the Feast repository, bring the live profiles up to date, keep the offline rows true."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feature_repo.layout import is_applied
from feature_repo.online.factory import online_position
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.store import bring_catalog
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import Event
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Identified, Stream

if TYPE_CHECKING:
    from feature_repo.updater.updater import Applied

_OF_LOG = {"log", "first_message"}
"""What of a source says which log it is."""


@click.command()
@click.option("--workspace", metavar="NAME", help="Which workspace.  [default: shop]")
@click.option(
    "--force",
    is_flag=True,
    help="Make all profiles anew; live ones answer until the new ones have caught up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def features(workspace: str | None, force: bool, as_json: bool) -> None:
    r"""Apply the Feast repository and bring features up to date.

    Folds what the event log holds into the live profiles (for serving), while these stay live. The profiles of the past
    that training asks for are made when it asks, and kept; those that newer events would have changed are dropped here.
    Nothing is done again while log and catalogue stay the same.

    \b
    Examples:
        tailorbird features
        tailorbird features --workspace movielens-1m --json
        tailorbird features --force
    """
    emit(build_features(load_settings(workspace=workspace), force=force), as_json=as_json)


def build_features(settings: Settings, *, force: bool = False) -> dict[str, object]:
    """Do what the command does; returns its result. Raises TailorbirdError where data or stores are missing."""
    started = time.monotonic()
    bring_catalog(settings)
    if not (settings.catalog_folder / "items.parquet").exists():
        raise _no_data(settings)
    done = settings.feature_folder / "built.json"
    with _alone(settings.feature_folder), open_events(settings) as log:
        before = json.loads(done.read_text()) if done.exists() else {}
        if log.end() == BEGINNING:
            raise _no_data(settings)
        source = _source(settings, log)
        skipped = not force and before.get("source") == source and _is_complete(settings, through=log.end())
        if skipped:
            say("features are up to date")
        result = (
            before["result"] if skipped else _build(settings, log, before.get("source"), source, force=force)
        )
        done.write_text(json.dumps({"source": source, "result": result}))
    return {**result, "skipped": skipped, "seconds": round(time.monotonic() - started, 1)}


def _is_complete(settings: Settings, *, through: Position) -> bool:
    """Whether the definitions are applied in today's layout and the online rows hold every event up to ``through``."""
    return is_applied(settings) and online_position(settings).reaches(through)


def _build(
    settings: Settings,
    log: Stream[Event],
    before: dict[str, object] | None,
    source: dict[str, object],
    *,
    force: bool,
) -> dict[str, object]:
    # Feast takes seconds to import: only a run that has something to do pays for it.
    from feature_repo.store import FeatureStoreRoom
    from feature_repo.updater.updater import ProfileUpdater

    room = FeatureStoreRoom(settings)
    lost = (
        room.is_lost()
    )  # a store that has forgotten everything: what is made empty now would be taken for whole
    if not lost:
        room.apply()
    other = before is not None and any(
        source[name] != before[name] for name in _OF_LOG & before.keys() & source.keys()
    )
    if other:
        say("the event log is another one than before: all features start anew")
    if (
        lost or force or other or room.applied() == BEGINNING
    ):  # live rows stay as they are until the new ones have caught up
        applied = rebuild_live(settings, log)
        if lost:
            room.apply()
        room.rows.clear()
    else:
        with progress("Bringing profiles up to date", total=log.lag(room.applied())) as bar:
            applied = ProfileUpdater(settings, room=room, log=log).catch_up(log, on_events=bar.advance)
    room.rows.refresh()
    return {
        "workspace": settings.workspace,
        "events": log.lag(BEGINNING),
        "items": len(Catalog.read(settings.catalog_folder)),
        "applied": applied.events,
        "offline_rows": len(room.rows),
        "position": {str(partition): offset for partition, offset in applied.position.offsets.items()},
        "folder": str(settings.feature_folder),
    }


def rebuild_live(settings: Settings, log: Stream[Event]) -> "Applied":
    """Make all online rows anew, saying how far it is."""
    from feature_repo.updater.updater import rebuild_beside

    with progress("Making profiles", total=log.lag(BEGINNING)) as bar:
        return rebuild_beside(settings, log, on_events=bar.advance)


def _source(settings: Settings, log: Stream[Event]) -> dict[str, object]:
    """What the features are made of; equal sources need no second build."""
    made_of = {"catalog": _stamp(settings.catalog_folder / "items.parquet"), "end": log.end().to_text()}
    if isinstance(log, Identified):  # its first events may go by their age; it is the same log
        return {**made_of, "log": log.identity}
    first = log.read(BEGINNING, limit=1).entries
    return {**made_of, "first_message": first[0].record.message_id if first else ""}


def _no_data(settings: Settings) -> TailorbirdError:
    return TailorbirdError(
        f"workspace {settings.workspace} has no data in {settings.folder}",
        remedy="run `tailorbird ingest` first, or name another --workspace",
    )


def _stamp(path: Path) -> str:
    """Changes when a file is replaced, without reading it."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time in a workspace; the lock goes with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TailorbirdError(
                f"features of {folder} are being built by another process",
                remedy="wait until it has finished",
            ) from error
        yield
