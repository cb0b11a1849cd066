"""Checks of this machine: the workspace's folder, room on the disks, optional packages."""

import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tailorbird.doctor.finding import Finding, State
from tailorbird.settings import Settings

BROKEN_BELOW = 200_000_000
"""Bytes: with less, databases cannot be written reliably."""
LOW_BELOW = 5_000_000_000
"""Bytes: a training run writes gigabytes."""


def check_workspace(settings: Settings) -> Sequence[Finding]:
    """The workspace's folder: there, writable, filled."""
    folder = settings.folder
    nearest = _nearest(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        remedy = f"let this user write there, or set TAILORBIRD_HOME (now {settings.home})"
        return [Finding("workspace", str(folder), "broken", f"{nearest} cannot be written to", remedy)]
    if not (settings.catalog_folder / "items.parquet").exists():
        remedy = "`tailorbird ingest` fills it; `tailorbird demo` shows everything"
        return [Finding("workspace", str(folder), "warning", "holds no catalogue yet", remedy)]
    return [Finding("workspace", str(folder), "ok", "there and writable")]


def check_disk(settings: Settings) -> Sequence[Finding]:
    """Room where the workspaces, MLflow's files and temporary files lie; a disk is told once."""
    found: dict[int, Finding] = {}
    for folder in (settings.home, settings.mlruns, Path(tempfile.gettempdir())):
        place = _nearest(folder)
        free = shutil.disk_usage(place).free
        state: State = "broken" if free < BROKEN_BELOW else "warning" if free < LOW_BELOW else "ok"
        remedy = "" if state == "ok" else "free some space, or choose another place with TAILORBIRD_HOME"
        says = f"{free / 1e9:.1f} GB free"
        found.setdefault(
            place.stat().st_dev, Finding("disk", str(folder), state, says, remedy, {"free_bytes": free})
        )
    return list(found.values())


def check_extras(settings: Settings) -> Sequence[Finding]:
    """Which optional parts of the package are installed; the check of whatever needs one says so where it lacks."""
    version = importlib.metadata.version("tailorbird")
    named: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("tailorbird") or ():
        if found := re.match(r"([\w.-]+).*;.*extra == ['\"]([\w-]+)['\"]", line):
            named.setdefault(found[2], []).append(found[1])
    lacking = {
        extra: [name for name in names if not _installed(name)]
        for extra, names in named.items()
        if extra != "dev"
    }
    there = [extra for extra, names in lacking.items() if not names]
    away = [extra for extra, names in lacking.items() if names]
    says = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(away) or 'none'}"
    return [Finding("extras", f"tailorbird {version}", "ok", says, facts={"there": there, "away": away})]


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
