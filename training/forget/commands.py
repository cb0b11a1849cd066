"""``tailorbird forget``: versions in use lose what they hold of people who were erased."""

import datetime as dt
from typing import Any

import click

from registry.commands import moved_to
from registry.versions.versions import Registered, Registry
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER
from tailorbird.settings import Settings, load_settings
from training.forget.due import Due


@click.command()
@click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
@click.option("--dry-run", is_flag=True, help="Say which versions have what to forget, and do nothing.")
@click.option("--no-promote", is_flag=True, help="Register the new versions, move no alias.")
@click.option(
    "--now", "at_once", is_flag=True, help="Train anew, too, so that networks and the ranker forget."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def forget(workspace: str | None, dry_run: bool, no_promote: bool, at_once: bool, as_json: bool) -> None:
    r"""Take people who were erased out of the models in use.

    Of each version that an alias points at, counts are made anew over the log without them: popularity, co-occurrence with
    EASE, habit, what happened to the items; the same recipe, items and span of time. The new version is promoted through
    the gates. Networks and the ranker forget when they are trained anew: by the next `tailorbird train`, or --now with the
    champion's recipe. Stopped half-way, the same command goes on. Exit code 3 when a gate refuses.

    \b
    Examples:
        tailorbird forget --dry-run
        tailorbird forget
        tailorbird forget --now
        tailorbird forget --no-promote --json
    """
    from training.forget.due import due, under_way

    settings = load_settings(workspace=workspace)
    registry = Registry(settings)
    found = due(settings, registry)
    waiting = under_way(settings)
    if waiting:
        say(f"{waiting:,} erasures are under way: whom they erase is forgotten once they are done")
    table([_line(each) for each in found], title="who is still in versions in use")
    result: dict[str, Any] = {
        "model": registry.name,
        "under_way": waiting,
        "due": [_plain(each) for each in found],
    }
    if not dry_run:
        with alone_if_free(settings.folder / PRIVACY_FOLDER / ".forgetting.lock") as mine:
            if not mine:
                raise TailorbirdError("another process is at it", remedy="wait until it is done")
            result["made"] = _forgotten(settings, registry, found, promote=not no_promote, at_once=at_once)
    emit(
        result
        if as_json
        else {"versions that have something to forget": len(found), **_short(result.get("made", []))},
        as_json=as_json,
    )


def _forgotten(
    settings: Settings, registry: Registry, found: list[Due], *, promote: bool, at_once: bool
) -> list[dict[str, Any]]:
    from training.data.training_set import training_set
    from training.forget.forget import ask_newer, without_erased

    made: list[dict[str, Any]] = []
    todo = [each for each in found if each.counted or at_once]
    if not todo:
        return made
    now = dt.datetime.now(dt.UTC)
    dataset = training_set(settings)
    for each in todo:
        champion = at_once and "champion" in each.aliases
        if champion:
            version, fresh = _trained(settings, each, dataset, now=now), True
        elif each.counted:
            with progress(f"counting version {each.version.version} anew"):
                version, fresh = without_erased(registry, each, dataset, settings=settings, now=now)
                if promote and fresh:
                    ask_newer(registry, (version, each.version), dataset, settings=settings, now=now)
        else:
            continue
        moved = []
        for alias in each.aliases if promote else ():
            reason = f"forgets {each.learned:,} people who were erased"
            moved_to(settings, version, alias=alias, expected=each.version.version, reason=reason)
            moved.append(alias)
        made.append(
            {
                "of": each.version.version,
                "version": version.version,
                "trained": champion,
                "fresh": fresh,
                "promoted": moved,
            }
        )
    return made


def _trained(settings: Settings, each: Due, dataset: Any, *, now: dt.datetime) -> Registered:
    from registry.following.pinned import NONE, segments_to_pin
    from tailorbird.recipes.recipe import Recipe
    from training.fit.train import train

    recipe: Recipe = each.version.open().model.recipe
    pins = each.version.tags.get("segments", NONE)
    pinned = segments_to_pin(settings) if pins.isdigit() else None
    return train(
        dataset,
        recipe,
        settings=settings,
        seed=int(each.version.tags.get("seed", "0")),
        now=now,
        again=True,
        pinned=pinned,
    ).registered


def _line(each: Due) -> dict[str, object]:
    return {
        "version": str(each.version.version),
        "aliases": " ".join(each.aliases),
        "in its counts": f"{each.counted:,}",
        "in what it learned": f"{each.learned:,}",
    }


def _plain(each: Due) -> dict[str, object]:
    return {
        "version": each.version.version,
        "aliases": list(each.aliases),
        "counted": each.counted,
        "learned": each.learned,
    }


def _short(made: list[dict[str, Any]]) -> dict[str, object]:
    return {
        f"version {each['of']}": f"version {each['version']}"
        + (f" ▸ {' '.join(each['promoted'])}" if each["promoted"] else "")
        for each in made
    }
