"""Where a workspace's features lie and what they are made of. Imports no Feast, which takes seconds to import."""

import hashlib
from pathlib import Path

from tailorbird.errors import TailorbirdError
from tailorbird.events.valence import AGAINST, PRESENCE
from tailorbird.features.consent.handovers import MOST_HANDOVERS
from tailorbird.features.consent.links import MOST_LINKS
from tailorbird.features.history.facts import BUCKETS
from tailorbird.features.history.keysets import KEPT_KEYS
from tailorbird.features.history.records import MEANING, RECORD
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

USER_VIEW = "user_profile"
ITEM_VIEW = "item_profile"

TABLE_VERSION = 3
"""Of the online store's tables (online/tables.py) and of how their rows are packed (rows.py)."""


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
        (BUCKETS, KEPT_KEYS, MOST_LINKS, MOST_HANDOVERS, settings.history_length),
        (sorted(PRESENCE.items()), AGAINST, settings.rating_scale),
        TABLE_VERSION,
    )
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]


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
