"""The doctor's look at what tuning needs: the storage of its studies and the Ray cluster."""

import importlib.metadata
import os
from collections.abc import Sequence
from contextlib import closing
from urllib.parse import urlsplit

from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import reaches, without_secret
from tailorbird.plumbing.postgres import connect
from tailorbird.settings import Settings

REACH_SECONDS = 5.0
_PORTS = {"ray": 10001, "": 6379}


def check_studies(settings: Settings) -> Sequence[Finding]:
    """Where Optuna keeps its studies."""
    if settings.studies:
        return [_database(settings.studies)]
    folder = settings.folder / "studies"
    version = importlib.metadata.version("optuna")
    count = len(list(folder.glob("*.db")))
    facts = {"optuna": version, "studies": count}
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        return [
            Finding(
                "studies", str(folder), "broken", "cannot be written to", "let this user write there", facts
            )
        ]
    return [Finding("studies", str(folder), "ok", f"SQLite, {count} studies", facts=facts)]


def check_ray(settings: Settings) -> Sequence[Finding]:
    """The cluster that tuning joins; none named means one on this machine, started when it is needed."""
    version = importlib.metadata.version("ray")
    address, facts = settings.ray_address, {"ray": version, "cpus": os.cpu_count()}
    if not address or address == "local":
        says = f"started here when it is needed: Ray {version}, {os.cpu_count()} CPUs"
        return [Finding("ray", "this machine", "ok", says, facts=facts)]
    if address == "auto":
        says = "whatever Ray runs on this machine; not looked at"
        return [Finding("ray", address, "ok", says, facts=facts)]
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        return [Finding("ray", address, "broken", str(error), "write it as host:6379 or ray://host:10001")]
    remedy = (
        f"start it (`ray start --head`, Ray {version}, the same Python), or correct TAILORBIRD_RAY_ADDRESS"
    )
    if why := reaches(host, port, seconds=REACH_SECONDS):
        return [Finding("ray", address, "broken", f"does not answer: {why}", remedy, facts)]
    return [
        Finding("ray", address, "ok", f"listens; it must run Ray {version} and the same Python", facts=facts)
    ]


def _database(address: str) -> Finding:
    with closing(connect(address)) as connection:
        version = connection.info.parameter_status("server_version") or "?"
        row = connection.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')").fetchone()
    shown, facts = without_secret(address), {"postgresql": version}
    if not (row and row[0]):
        says = f"PostgreSQL {version}: this user may make no tables"
        remedy = "GRANT CREATE, USAGE ON SCHEMA public TO the user of TAILORBIRD_STUDIES"
        return Finding("studies", shown, "broken", says, remedy, facts)
    return Finding("studies", shown, "ok", f"PostgreSQL {version}", facts=facts)
