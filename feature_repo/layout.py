"""Where a workspace's features lie and what they are made of. Imports no Feast, which takes seconds to import."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

from tailorbird.features.records import RECORD
from tailorbird.features.table import AFFINITY_HALF_LIFE_S, FEATURES, ITEM_HALF_LIVES, USER_HALF_LIVES
from tailorbird.settings import Settings

USER_VIEW = "user_profile"
ITEM_VIEW = "item_profile"
APPLIED = "applied_offset"
"""The mark beside the online rows: every event of the log up to this offset is in them."""

TABLE_VERSION = 1
"""Of the online store's tables (online_store.py)."""


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
    """Changes when stored rows mean something else: other features, half-lives, records, tables or history length."""
    made_of = (
        FEATURES,
        dict(USER_HALF_LIVES),
        dict(ITEM_HALF_LIVES),
        AFFINITY_HALF_LIFE_S,
        RECORD.descr,
        settings.rating_scale,
    )
    return hashlib.sha256(repr((made_of, settings.history_length, TABLE_VERSION)).encode()).hexdigest()[:16]


def is_complete(settings: Settings, *, through: int) -> bool:
    """Whether the definitions are applied in today's layout and the online rows hold the log up to offset ``through``."""
    return is_applied(settings) and _online_mark(online_file(settings.feature_folder)) >= through


def is_applied(settings: Settings) -> bool:
    """Whether the definitions are applied in today's layout."""
    file = layout_file(settings.feature_folder)
    return file.exists() and file.read_text() == layout_digest(settings)


def _online_mark(file: Path) -> int:
    if not file.exists():
        return -1
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT value FROM marks WHERE name = ?", (APPLIED,)).fetchone()
    except sqlite3.Error:
        return -1  # damaged or half made: not complete, the build says more
    return int(row[0]) if row else 0
