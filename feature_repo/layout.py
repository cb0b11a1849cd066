"""Where a workspace's features lie and what they are made of. Imports no Feast, which takes seconds to import."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

from tailorbird.errors import TailorbirdError
from tailorbird.events.valence import AGAINST, PRESENCE
from tailorbird.features.facts import BUCKETS
from tailorbird.features.keysets import KEPT_KEYS
from tailorbird.features.links import MOST_LINKS
from tailorbird.features.records import MEANING, RECORD
from tailorbird.features.table import (
    AFFINITY_HALF_LIFE_S,
    COUNTED_TYPES,
    ITEM_HALF_LIVES,
    PASSIVE_TYPES,
    STORED_ITEM,
    STORED_USER,
    USER_HALF_LIVES,
)
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING, Position

USER_VIEW = "user_profile"
ITEM_VIEW = "item_profile"

TABLE_VERSION = 3
"""Of the online store's tables (online_tables.py) and of how their rows are packed (rows.py)."""


def offline_folder(folder: Path, view: str) -> Path:
    """Where the offline rows of a view are: Parquet files."""
    return folder / "offline" / view


def online_file(folder: Path) -> Path:
    """Where the online rows are: one SQLite database."""
    return folder / "online.db"


def layout_file(folder: Path) -> Path:
    """Where the layout of what is stored is written down."""
    return folder / "layout"


def layout_digest(settings: Settings) -> str:
    """Changes when stored rows mean something else: their columns, records, half-lives, bounds or what events say.

    What is said *about* a feature and what is derived from the rows is no part of it: neither touches a stored row.
    """
    made_of = (
        [(feature.name, feature.entity, feature.dtype) for feature in STORED_USER + STORED_ITEM],
        (RECORD.descr, MEANING),
        COUNTED_TYPES,
        sorted(PASSIVE_TYPES),
        sorted(USER_HALF_LIVES.items()),
        sorted(ITEM_HALF_LIVES.items()),
        AFFINITY_HALF_LIFE_S,
        (BUCKETS, KEPT_KEYS, MOST_LINKS, settings.history_length),
        (sorted(PRESENCE.items()), AGAINST, settings.rating_scale),
        TABLE_VERSION,
    )
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]


def position_mark(layout: str) -> str:
    """The name under which the online store keeps how far the rows of a layout follow the events."""
    return f"position:{layout}"


def is_complete(settings: Settings, *, through: Position) -> bool:
    """Whether the definitions are applied in today's layout and the online rows hold every event up to ``through``."""
    return is_applied(settings) and online_position(settings).reaches(through)


def is_applied(settings: Settings) -> bool:
    """Whether the definitions are applied in today's layout, and for this folder: Feast's registry names its path."""
    file = layout_file(settings.feature_folder)
    return file.exists() and file.read_text() == applied_layout(settings)


def require_applied(settings: Settings) -> None:
    """Raise TailorbirdError where :func:`is_applied` says no."""
    if not is_applied(settings):
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has no features in today's layout in {settings.feature_folder}: they were "
            "never built, by an older program, or in another folder",
            remedy=f"run `tailorbird features --workspace {settings.workspace}` first",
        )


def applied_layout(settings: Settings) -> str:
    """What stands in the layout file once the definitions are applied."""
    return f"{layout_digest(settings)}\n{settings.feature_folder.resolve()}\n"


def online_position(settings: Settings) -> Position:
    """How far the online rows of today's layout follow the events; nowhere where they are missing or damaged."""
    file = online_file(settings.feature_folder)
    if not file.exists():
        return BEGINNING
    mark = position_mark(layout_digest(settings))
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT value FROM marks WHERE name = ?", (mark,)).fetchone()
        return Position.from_text(str(row[0])) if row else BEGINNING
    except (sqlite3.Error, TailorbirdError):
        return BEGINNING  # damaged or half made: not complete, the build says more
