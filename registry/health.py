"""The doctor's look at the registry: who keeps it, whether it answers, what version it is."""

import importlib.metadata
from collections.abc import Sequence

import httpx

from registry.pointers import SQLITE, open_pointers
from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import without_secret
from tailorbird.settings import Settings

ANSWER_SECONDS = 5.0


def check_registry(settings: Settings) -> Sequence[Finding]:
    """Ask for the aliases, as serving does; of a server also its version."""
    if settings.mlflow_uri.startswith(SQLITE):
        return [_embedded(settings)]
    return [_server(settings)]


def _embedded(settings: Settings) -> Finding:
    points_at = settings.mlflow_uri.removeprefix(SQLITE)
    aliases = dict(open_pointers(settings).aliases())
    facts = {"mlflow": importlib.metadata.version("mlflow"), "aliases": aliases}
    if not aliases:
        remedy = "`tailorbird train` registers a version, `tailorbird promote` makes it the champion"
        return Finding("registry", points_at, "warning", "no alias points anywhere yet", remedy, facts)
    return Finding("registry", points_at, "ok", f"SQLite, {_words(aliases)}", facts=facts)


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
    if answer.status_code != 200:
        return Finding("registry", shown, "broken", f"answers {answer.status_code} to GET /version", remedy)
    theirs, ours = answer.text.strip()[:40], importlib.metadata.version("mlflow")
    aliases = dict(open_pointers(settings).aliases())
    facts = {"server": theirs, "mlflow": ours, "aliases": aliases}
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        says = f"MLflow server {theirs}, this client is {ours}; {_words(aliases)}"
        return Finding("registry", shown, "warning", says, "install the same minor version on both", facts)
    return Finding("registry", shown, "ok", f"MLflow server {theirs}; {_words(aliases)}", facts=facts)


def _words(aliases: dict[str, str]) -> str:
    return ", ".join(f"{alias} is version {version}" for alias, version in aliases.items()) or "no alias yet"
