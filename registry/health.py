"""The doctor's look at the registry: who keeps it, whether it answers, what version it is."""

import importlib
import importlib.metadata
from collections.abc import Sequence
from contextlib import closing

import httpx

from registry.following.pointers import SQLITE, open_pointers
from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.postgres import connect
from tailorbird.settings import Settings

ANSWER_SECONDS = 5.0


def check_registry(settings: Settings) -> Sequence[Finding]:
    """Ask for the aliases, as serving does; of a server or a database also its version."""
    if settings.tracking == "server":
        return [_server(settings)]
    return [_postgres(settings) if settings.tracking == "postgresql" else _embedded(settings)]


def prepare(settings: Settings) -> None:
    """Load MLflow's client, which only a server needs: that takes seconds of this machine's, none of the server's."""
    if settings.tracking == "server":
        importlib.import_module("mlflow")


def _embedded(settings: Settings) -> Finding:
    return _aliases(settings, settings.mlflow_uri.removeprefix(SQLITE), "SQLite", {})


def _postgres(settings: Settings) -> Finding:
    shown = without_secret(settings.tracking_uri)
    with closing(connect(settings.tracking_uri)) as connection:
        version = connection.info.parameter_status("server_version") or "?"
        row = connection.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')").fetchone()
    if not (row and row[0]):
        says = f"PostgreSQL {version}: this user may make no tables"
        remedy = "GRANT CREATE, USAGE ON SCHEMA public TO the user of TAILORBIRD_TRACKING_URI"
        return Finding("registry", shown, "broken", says, remedy, {"postgresql": version})
    return _aliases(settings, shown, f"PostgreSQL {version}", {"postgresql": version})


def _server(settings: Settings) -> Finding:
    shown, base = without_secret(settings.mlflow_uri), settings.mlflow_uri.rstrip("/")
    remedy = "start it, or correct TAILORBIRD_TRACKING_URI"
    try:
        answer = httpx.get(f"{base}/version", timeout=ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        says = f"does not answer: {error or type(error).__name__}"
        return Finding("registry", shown, "broken", says, remedy)
    if answer.status_code in (401, 403):
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return Finding("registry", shown, "broken", f"refuses us ({answer.status_code})", remedy)
    if answer.status_code != httpx.codes.OK:
        return Finding("registry", shown, "broken", f"answers {answer.status_code} to GET /version", remedy)
    theirs, ours = answer.text.strip()[:40], importlib.metadata.version("mlflow")
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        says, remedy = (
            f"MLflow server {theirs}, this client is {ours}",
            "install the same minor version on both",
        )
        return Finding("registry", shown, "warning", says, remedy, {"server": theirs, "mlflow": ours})
    return _aliases(settings, shown, f"MLflow server {theirs}", {"server": theirs})


def _aliases(settings: Settings, points_at: str, keeper: str, facts: dict[str, object]) -> Finding:
    aliases = dict(open_pointers(settings).aliases())
    facts = {**facts, "mlflow": importlib.metadata.version("mlflow"), "aliases": aliases}
    if not aliases:
        remedy = "`tailorbird train` registers a version, `tailorbird promote` makes it the champion"
        return Finding(
            "registry", points_at, "warning", f"{keeper}; no alias points anywhere yet", remedy, facts
        )
    words = ", ".join(f"{alias} is version {version}" for alias, version in aliases.items())
    return Finding("registry", points_at, "ok", f"{keeper}; {words}", facts=facts)
