"""``tailorbird serve``: start, print the addresses, and end everything on Ctrl-C."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import psutil

from serving.admin.listener import LOOPBACK, free_port
from serving.cluster import Started, end_leftovers, ray_cluster, require_free_port
from tailorbird.access.doors import require_doors
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.policy import read_policy
from tailorbird.settings import Settings, load_settings

READY_SECONDS = 300.0


@click.command()
@click.option("--workspace", help="Workspace to serve.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option("--host", help="Address to bind to.  [default: TAILORBIRD_HOST or 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="HTTP port.  [default: TAILORBIRD_PORT or 8000]")
@click.option("--replicas", type=click.IntRange(1, 64), help="Replicas of the recommend application.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON on stdout.")
def serve(
    workspace: str | None, host: str | None, port: int | None, replicas: int | None, as_json: bool
) -> None:
    r"""Answer HTTP requests with the champion, until Ctrl-C.

    Follows the registry's `champion` alias: promote or roll back, and the answers change without a restart. Without a
    champion the answers come from popularity and say so.

    \b
    Examples:
        tailorbird serve
        tailorbird serve --workspace movielens-1m --port 8080
        curl -s localhost:8000/v1/recommendations -H 'content-type: application/json' -d '{"userId": "u1"}'
    """
    settings = load_settings(workspace=workspace, host=host, port=port, replicas=replicas)
    doors = require_doors(settings)
    prepare(settings)
    if _serves_already(settings):
        say(f"workspace {settings.workspace!r} is already served at {base_url(settings)}")
        emit(addresses(settings), as_json=as_json)
        return
    _clear_leftovers(settings)
    require_free_port(settings.host, settings.port)
    say(f"starting Ray Serve for workspace {settings.workspace!r} ...")
    with running(settings) as started:
        emit(addresses(settings), as_json=as_json)
        say(f"serving; logs are in {started.folder / 'ray' / 'session_latest' / 'logs' / 'serve'}")
        say(doors)
        if warning := read_policy(settings.folder).warning:
            say(warning)
        say("Ctrl-C stops everything.")
        try:
            _watch(settings)
        finally:
            say("stopping ...")
    say("stopped")


@contextmanager
def running(
    settings: Settings,
    *,
    noop: bool = False,
    store_exposures: bool = True,
    result_cache_seconds: float | None = None,
) -> Iterator[Started]:
    """Serve while the block runs."""
    admin_port = _admin_port(settings)
    with ray_cluster(settings) as started, _recorded(settings, started.folder, admin_port=admin_port):
        from serving.apps import build_apps, run_apps

        cache = settings.result_cache_seconds if result_cache_seconds is None else result_cache_seconds
        run_apps(
            build_apps(
                settings,
                folder=started.folder,
                environment=started.environment,
                admin_port=admin_port,
                noop=noop,
                store_exposures=store_exposures,
                result_cache_seconds=cache,
            )
        )
        _wait_until_ready(settings, folder=started.folder)
        yield started


def base_url(settings: Settings) -> str:
    """Where a client on this machine reaches the service."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 (a comparison)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def addresses(settings: Settings) -> dict[str, object]:
    """What there is to call."""
    base = base_url(settings)
    return {
        "workspace": settings.workspace,
        "recommendations": f"{base}/v1/recommendations",
        "events": f"{base}/v1/events",
        "health": f"{base}/health/ready",
        "metrics": f"{base}/metrics",
        "openapi": f"{base}/openapi.json",
        "admin": _recorded_admin(settings),
    }


def prepare(settings: Settings) -> None:
    """Have on this machine what serving reads from its folder: where machines share it, a new machine has nothing yet.

    Raises:
        UsageError: the workspace has never been filled.
    """
    from feature_repo.layout import is_applied
    from tailorbird.catalog.store import bring_catalog
    from tailorbird.streams.stream import StreamAwayError

    try:
        bring_catalog(settings)
    except StreamAwayError as error:
        if not (settings.catalog_folder / "items.parquet").exists():
            raise
        say(f"serving what this machine knows: {error.what}; {error.remedy}")
    require_workspace(settings)
    if settings.catalog and not is_applied(settings):
        from feature_repo.command import build_features

        say(f"this machine is new to workspace {settings.workspace!r}: its features are applied ...")
        build_features(settings)


def require_workspace(settings: Settings) -> None:
    """Refuse a workspace that has never been filled: a typing slip in its name, most likely."""
    if not (settings.catalog_folder / "items.parquet").exists():
        known = sorted(path.name for path in settings.home.glob("*") if (path / "catalog").is_dir())
        raise UsageError(
            f"workspace {settings.workspace!r} has no catalogue in {settings.catalog_folder}",
            remedy=f"choose one of {', '.join(known)}" if known else "run `tailorbird ingest` first",
        )


def _admin_port(settings: Settings) -> int:
    """The port that was chosen, or the one after the service's, or any free one."""
    if settings.admin_port:
        require_free_port(LOOPBACK, settings.admin_port)
        return settings.admin_port
    return free_port(settings.port + 1)


def _recorded_admin(settings: Settings) -> str:
    try:
        return str(json.loads((settings.folder / "serving.json").read_text("utf-8"))["admin"])
    except (OSError, ValueError, KeyError):
        return ""


def _serves_already(settings: Settings) -> bool:
    try:
        answer = httpx.get(f"{base_url(settings)}/health/ready", timeout=2.0)
        found: dict[str, object] = answer.json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(found, dict) and found.get("workspaceKey") == settings.workspace_key


def _watch(settings: Settings) -> None:
    """Wait for Ctrl-C; complain when the service is gone for good."""
    missed = 0
    while missed < 6:
        time.sleep(5.0)
        try:
            httpx.get(f"{base_url(settings)}/health/live", timeout=5.0)
            missed = 0
        except httpx.HTTPError:
            missed += 1
    raise TailorbirdError(
        f"nothing answers at {base_url(settings)} any more", remedy="start it again with `tailorbird serve`"
    )


def _wait_until_ready(settings: Settings, *, folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if _serves_already(settings):
            return
        time.sleep(0.1)
    raise TailorbirdError(
        f"not ready within {READY_SECONDS:.0f} s at {base_url(settings)}",
        remedy=f"see the logs in {folder / 'ray' / 'session_latest' / 'logs' / 'serve'}",
    )


@contextmanager
def _recorded(settings: Settings, folder: Path, *, admin_port: int) -> Iterator[None]:
    """Note who serves, so that a start after a kill can clear up."""
    path = settings.folder / "serving.json"
    path.write_text(
        json.dumps({"pid": os.getpid(), "folder": str(folder), "admin": f"http://127.0.0.1:{admin_port}"}),
        "utf-8",
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _clear_leftovers(settings: Settings) -> None:
    path = settings.folder / "serving.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        pid, folder = int(record["pid"]), Path(record["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if psutil.pid_exists(pid) and pid != os.getpid():
        return
    ended = end_leftovers(folder)
    path.unlink(missing_ok=True)
    if ended:
        say(f"cleared {ended} processes that an earlier, killed start had left behind")
