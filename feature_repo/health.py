"""The doctor's look at the online store. An engine adds its check to CHECKS, by the scheme of its address."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from feature_repo.away import remedy_of
from feature_repo.layout import ITEM_VIEW, USER_VIEW, is_applied, layout_digest, online_file
from feature_repo.online.factory import online_position, project_of
from feature_repo.online.redis import RedisDatabase
from feature_repo.online.tables import Tables
from tailorbird.doctor.engines import check_engine
from tailorbird.doctor.finding import Finding
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.redis import RedisAddress
from tailorbird.settings import Settings

CHECKS = {
    "sqlite": "feature_repo.health:check_sqlite",
    "redis": "feature_repo.health:check_redis",
    "rediss": "feature_repo.health:check_redis",
}


def check_online(settings: Settings) -> Sequence[Finding]:
    """Ask the engine that keeps the live profiles."""
    return check_engine("online store", settings.online, settings, known=CHECKS)


def check_sqlite(settings: Settings) -> Sequence[Finding]:
    """The embedded store: one database file in today's layout."""
    path = online_file(settings.feature_folder)
    if not path.exists() or not is_applied(settings):
        remedy = "`tailorbird features` makes it and fills it from the events"
        return [Finding("online store", str(path), "warning", "not there in today's layout", remedy)]
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            connection.execute("SELECT count(*) FROM marks").fetchone()
    except sqlite3.Error as error:
        return [
            Finding(
                "online store", str(path), "broken", f"cannot be read: {error}", remedy_of(str(error), path)
            )
        ]
    position = online_position(settings).to_text()
    says = f"SQLite, follows the events up to {position or 'their beginning'}"
    return [Finding("online store", str(path), "ok", says, facts={"position": position})]


def check_redis(settings: Settings) -> Sequence[Finding]:
    """A Redis: whether it answers, keeps what it is given, and holds whole rows in today's layout."""
    address = RedisAddress.parse(settings.online, setting="online")
    database = RedisDatabase(address, project=project_of(settings))
    tables, place = Tables(database, project_of(settings), layout_digest(settings)), str(address)
    try:
        if policy := database.wire.evicting():
            says, remedy = f"throws keys away when it is full: {policy}", "set `maxmemory-policy noeviction`"
            return [Finding("online store", place, "broken", says, remedy)]
        if database.is_lost([tables.name(view) for view in (USER_VIEW, ITEM_VIEW)]):
            remedy = "`tailorbird features`, or the running platform, fills it from the events"
            return [
                Finding("online store", place, "warning", "holds no whole rows in today's layout", remedy)
            ]
        position = tables.position().to_text()
    except TailorbirdError as error:
        return [Finding("online store", place, "broken", error.what, error.remedy)]
    return [
        Finding(
            "online store",
            place,
            "ok",
            f"Redis, follows the events up to {position}",
            facts={"position": position},
        )
    ]
