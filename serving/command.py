"""``tailorbird serve``: start, print the addresses, and end everything on Ctrl-C."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import psutil

from serving.admin.listener import LOOPBACK, free_port
from serving.cluster import Started, end_leftovers, ray_cluster, require_free_port
from tailorbird.access.certificate import known_by_its_certificate
from tailorbird.access.doors import plain_ways, require_doors
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.served import base_url, forget_served, noted, read_served
from tailorbird.plumbing.terminal import emit, say
from tailorbird.privacy.policy.policy import read_policy
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
        for problem in _problems(settings):
            say(f"not all is well: {problem}")
        say(doors)
        for way in plain_ways(settings):
            say(f"not encrypted beyond this machine: {way}")
        if warning := read_policy(settings).warning:
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
    with (
        ray_cluster(settings) as started,
        noted(settings, folder=str(started.folder), admin=f"http://{LOOPBACK}:{admin_port}"),
    ):
        from serving.apps import build_apps, run_apps
        from serving.triggers.deliverer import follow_from_here

        follow_from_here(settings)
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


def addresses(settings: Settings) -> dict[str, object]:
    """What there is to call."""
    base, served = base_url(settings), read_served(settings)
    return {
        "workspace": settings.workspace,
        "recommendations": f"{base}/v1/recommendations",
        "events": f"{base}/v1/events",
        "health": f"{base}/health/ready",
        "metrics": f"{base}/metrics",
        "openapi": f"{base}/openapi.json",
        "admin": served.admin if served else "",
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


def _serves_already(settings: Settings) -> bool:
    return _readiness(settings).get("workspaceKey") == settings.workspace_key


def _problems(settings: Settings) -> Sequence[str]:
    """What is degraded, as a replica says."""
    return _readiness(settings).get("problems", ())


def _readiness(settings: Settings) -> dict[str, Any]:
    """What answers at this workspace's address; empty where nothing does that speaks as we do."""
    try:
        found = _asked(settings, "ready", seconds=2.0).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _asked(settings: Settings, health: str, *, seconds: float) -> httpx.Response:
    """Ask the door of this machine, whose certificate may just be replaced."""
    return httpx.get(
        f"{base_url(settings)}/health/{health}", timeout=seconds, verify=known_by_its_certificate(settings)
    )


def _watch(settings: Settings) -> None:
    """Wait for Ctrl-C; complain when the service is gone for good."""
    missed = 0
    while missed < 6:
        time.sleep(5.0)
        try:
            _asked(settings, "live", seconds=5.0)
            missed = 0
        except (httpx.HTTPError, OSError, ValueError):
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


def _clear_leftovers(settings: Settings) -> None:
    left = read_served(settings)
    if left is None or (psutil.pid_exists(left.pid) and left.pid != os.getpid()):
        return
    ended = end_leftovers(Path(left.folder))
    forget_served(settings)
    if ended:
        say(f"cleared {ended} processes that an earlier, killed start had left behind")
