"""The only place that knows the engines of the online store: which one the settings name. Imports no Feast."""

from collections.abc import Mapping

from feature_repo.layout import layout_digest, online_file
from feature_repo.online.database import OnlineDatabase
from feature_repo.online.sqlite import SqliteDatabase
from feature_repo.online.tables import BESIDE, Tables
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING, Position


def store_section(settings: Settings, *, beside: bool = False) -> Mapping[str, object]:
    """The ``online_store`` section of Feast's configuration.

    ``beside`` names the online rows that are being made to take the place of the live ones.
    """
    return {
        "type": "feature_repo.online.sqlite_plugin.SqliteOnlineStore",
        "path": str(online_file(settings.feature_folder)),
        "layout": layout_digest(settings) + (BESIDE if beside else ""),
    }


def open_database(settings: Settings) -> OnlineDatabase:
    """The database of the live rows; reads nothing."""
    return SqliteDatabase(online_file(settings.feature_folder))


def project_of(settings: Settings) -> str:
    """Feast's project name: the workspace in the letters Feast allows."""
    return settings.workspace.replace("-", "_")


def online_position(settings: Settings) -> Position:
    """How far the online rows of today's layout follow the events; nowhere where they are missing, away or damaged."""
    database = open_database(settings)
    try:
        return Tables(database, project_of(settings), layout_digest(settings)).position()
    except TailorbirdError:
        return BEGINNING  # damaged or half made: not complete, the build says more
    finally:
        database.disconnect()
