"""Whose data a workspace holds: a demo neither mixes its own into somebody's nor deletes what it did not bring."""

import json
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import click

from tailorbird.catalog.shared.shared import shared_of
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Stamps:
    """``steps`` done with the digest of their inputs, the data sets that are the demo's ``own``, the step ``running``."""

    steps: dict[str, str]
    own: set[str]
    running: str


def ingested(settings: Settings) -> set[str]:
    """The names of everything that was ever ingested into the workspace."""
    return {report.stem for report in (settings.folder / "ingested").glob("*.json")}


def require_own_workspace(settings: Settings) -> None:
    """Refuse a workspace into which somebody ingested data, here or on another machine that shares its catalogue.

    Raises:
        UsageError: it holds what no demo brought.
    """
    foreign = ingested(settings) - read_stamps(settings).own
    if foreign:
        raise UsageError(
            f"workspace {settings.workspace!r} holds {len(foreign)} ingested data sets of your own in {settings.folder}",
            remedy="run the demo in another one: --workspace NAME",
        )
    shared = shared_of(settings)
    if shared is None or _file(settings).exists():
        return
    with closing(shared):
        state = shared.state()
    if state.tables or state.sequence:
        raise UsageError(
            f"workspace {settings.workspace!r} holds a catalogue that machines share, and no demo of this one filled it",
            remedy="run the demo in another one: --workspace NAME",
        )


def forget(settings: Settings, *, confirmed: bool) -> None:
    """Delete a workspace that only a demo filled, once a person has agreed.

    Raises:
        UsageError: nobody is there to ask and ``confirmed`` is not given.
    """
    if not settings.folder.exists():
        return
    if not confirmed:
        if not sys.stdin.isatty():
            raise UsageError(
                f"--fresh deletes workspace {settings.workspace!r} in {settings.folder}, with every event posted to it",
                remedy="agree with --yes",
            )
        question = (
            f"Delete workspace {settings.workspace!r} in {settings.folder}, with every event posted to it?"
        )
        click.confirm(question, abort=True, err=True)
    say(f"deleting workspace {settings.workspace!r}")
    shutil.rmtree(settings.folder)


def read_stamps(settings: Settings) -> Stamps:
    """What demos noted of this workspace; what a killed ingest of a demo left counts as the demo's."""
    try:
        found = json.loads(_file(settings).read_text())
        stamps = Stamps(dict(found["steps"]), set(found["ingested"]), found["running"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Stamps({}, set(), "")
    return replace(stamps, own=ingested(settings)) if stamps.running == "ingest" else stamps


def write_stamps(settings: Settings, stamps: Stamps) -> None:
    """Note what is done and what is about to run."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    noted = {"steps": stamps.steps, "ingested": sorted(stamps.own), "running": stamps.running}
    staged = _file(settings).with_suffix(".tmp")
    staged.write_text(json.dumps(noted, indent=2))
    staged.replace(_file(settings))


def _file(settings: Settings) -> Path:
    return settings.folder / "demo.json"
