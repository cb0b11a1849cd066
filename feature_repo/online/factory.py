"""The only place that knows the engines of the online store: which one the settings name. Imports no Feast."""

from collections.abc import Mapping

from feature_repo.layout import layout_digest, online_file
from feature_repo.online.database import OnlineDatabase
from feature_repo.online.redis import RedisDatabase
from feature_repo.online.sqlite import SqliteDatabase
from feature_repo.online.tables import BESIDE, Tables
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.redis import SCHEMES, RedisAddress
from tailorbird.settings import Settings
from tailorbird.streams.position import BEGINNING, Position


def store_section(settings: Settings, *, beside: bool = False) -> Mapping[str, object]:
    """The ``online_store`` section of Feast's configuration.

    ``beside`` names the online rows that are being made to take the place of the live ones.
    """
    layout = layout_digest(settings) + (BESIDE if beside else "")
    if _engine(settings) == "sqlite":
        path = str(online_file(settings.feature_folder))
        return {"type": "feature_repo.online.sqlite_plugin.SqliteOnlineStore", "path": path, "layout": layout}
    return {
        "type": "feature_repo.online.redis_plugin.RedisOnlineStore",
        "address": settings.online,
        "layout": layout,
    }


def open_database(settings: Settings) -> OnlineDatabase:
    """The database of the live rows; reads nothing."""
    if _engine(settings) == "sqlite":
        return SqliteDatabase(online_file(settings.feature_folder))
    return RedisDatabase(RedisAddress.parse(settings.online, setting="online"), project=project_of(settings))


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


def _engine(settings: Settings) -> str:
    scheme = settings.online.partition(":")[0]
    if scheme not in ("sqlite", *SCHEMES):
        raise UsageError(
            f"setting online = {without_secret(settings.online)!r}: there is no engine {without_secret(scheme)!r}",
            remedy="set TAILORBIRD_ONLINE to sqlite, redis://host:port/db or rediss://host:port/db",
        )
    return scheme
