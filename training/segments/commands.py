"""``tailorbird segments``: find, look at, compare, promote segments, and tell everybody's."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.clock import seconds_of
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.segments.rules.rules import RULES_FILE, read_rules
from tailorbird.settings import Settings, load_settings
from training.segments.shown import (
    SHOWN,
    TOLD,
    plain,
    show_candidates,
    show_gates,
    show_rules,
    show_segments,
    show_sizes,
    version_of,
)

if TYPE_CHECKING:
    from registry.promotion.promote import Promotion
    from registry.versions.versions import Registered, Registry
    from tailorbird.segments.model import SegmentModel

_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


@click.group()
def segments() -> None:
    r"""Segments: who people are by what they do.

    \b
    Examples:
        tailorbird segments fit
        tailorbird segments compare
        tailorbird segments fit --choose 7
        tailorbird segments promote
        tailorbird segments assign --every 15m
    """


@segments.command()
@_workspace
@click.option(
    "--most", default=10, show_default=True, type=click.IntRange(2, 50), help="Most groups that are tried."
)
@click.option(
    "--people", default=100_000, show_default=True, type=click.IntRange(50), help="People looked at, at most."
)
@click.option(
    "--choose", type=click.IntRange(1), help="Register the candidate of this number, not the proposed one."
)
@click.option("--promote", "promoting", is_flag=True, help="Promote the version where it passes its gates.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that draws.")
@_json
def fit(
    workspace: str | None,
    most: int,
    people: int,
    choose: int | None,
    promoting: bool,
    seed: int,
    as_json: bool,
) -> None:
    r"""Find segments among the people of the workspace, and register the proposed ones as a version.

    K-Means, Gaussian mixtures, HDBSCAN and DBSCAN over their sizes and densities, with and without what people told, are
    compared by silhouette, Davies-Bouldin index and how surely their groups come again in resamples; each is a run in
    MLflow. On the same data the same seed gives the same candidates, so --choose takes one that `compare` has shown.

    \b
    Examples:
        tailorbird segments fit
        tailorbird segments fit --promote
        tailorbird segments fit --most 8 --choose 5
    """
    from training.segments.fit import fit_segments
    from training.segments.people import load_people

    settings, now = load_settings(workspace=workspace), _now()
    with progress("reading people"):
        crowd = load_people(settings, most=people)
    with progress("comparing") as bar:
        fitted = fit_segments(
            crowd,
            settings=settings,
            now=now,
            sizes_tried=range(2, most + 1),
            choose=choose,
            seed=seed,
            advance=lambda what: bar.update(figures=what),
        )
    found = fitted.found
    show_candidates(
        (
            (
                each.number,
                each.method.words + (TOLD if each.number in found.with_told else ""),
                each.figures(),
                "proposed" if each is found.proposed else "chosen" if each is fitted.chosen else "",
            )
            for each in sorted(found.candidates, key=lambda each: -each.stability)[:SHOWN]
        ),
        title="Candidates that come again most surely",
    )
    if fitted.model is None or fitted.registered is None:
        say(
            "no grouping comes again in resamples: everybody is one segment; more events or --choose may help"
        )
        emit({"model": settings.segments_name, "version": None, "run": fitted.run_id}, as_json=as_json)
        return
    show_segments(fitted.model)
    emit(
        {
            **version_of(fitted.registered),
            "run": fitted.run_id,
            "candidate": fitted.chosen.number if fitted.chosen else None,
            **({"promoted": _promoted(fitted.registered)} if promoting else {}),
            **({"segments": [plain(each) for each in fitted.model.segments]} if as_json else {}),
        },
        as_json=as_json,
    )


@segments.command()
@_workspace
@click.option("--version", default="champion", show_default=True, help="Number, alias or `latest`.")
@_json
def show(workspace: str | None, version: str, as_json: bool) -> None:
    r"""Show the segments of a version: their names, sizes, and what sets them apart; and the rules of rules.toml.

    \b
    Examples:
        tailorbird segments show
        tailorbird segments show --version latest --json
    """
    settings = load_settings(workspace=workspace)
    rules = read_rules(settings.folder / RULES_FILE)
    show_rules(rules)
    registered, model = _opened(settings, version)
    show_segments(model)
    emit(
        {
            **version_of(registered),
            **(
                {
                    "segments": [plain(each) for each in model.segments],
                    "rules": [
                        {"key": each.key, "name": each.name, "when": each.when} for each in rules.rules
                    ],
                    "figures": dict(model.figures),
                }
                if as_json
                else {}
            ),
        },
        as_json=as_json,
    )


@segments.command()
@_workspace
@_json
def compare(workspace: str | None, as_json: bool) -> None:
    r"""List the candidates of the latest search, the most stable first.

    \b
    Examples:
        tailorbird segments compare
        tailorbird segments compare --json
    """
    from training.segments.fit import latest_search

    search = latest_search(load_settings(workspace=workspace))
    show_candidates(
        (each["number"], each["method"], each, _note(each, search.proposed)) for each in search.candidates
    )
    result = {"run": search.run_id, "proposed": search.proposed, "registered": search.registered}
    emit({**result, "candidates": search.candidates} if as_json else result, as_json=as_json)


@segments.command()
@_workspace
@click.option("--version", default="champion", show_default=True, help="Number, alias or `latest`.")
@click.option(
    "--every", metavar="TIME", help="Again and again, this long apart: 30s, 15m, 2h. Ctrl-C ends it."
)
@_json
def assign(workspace: str | None, version: str, every: str | None, as_json: bool) -> None:
    r"""Tell the segment of everybody, into segments/assigned.parquet of the workspace.

    What was told before is kept: only people with newer events, or a new version, are looked at; interrupted, the next run
    goes on. It says what the live path says. Rules (rules.toml) become true by time alone: while there are any, everybody is
    looked at.

    \b
    Examples:
        tailorbird segments assign
        tailorbird segments assign --every 15m
    """
    from training.segments.assign import AssignedPeople

    settings, pause = (
        load_settings(workspace=workspace),
        None if every is None else seconds_of(every, option="--every"),
    )
    while True:
        registered, model = _opened(settings, version)
        rules = read_rules(settings.folder / RULES_FILE)
        with progress("assigning people") as bar:
            done = AssignedPeople(settings).update(
                model, registered.version, rules=rules, now=_now().timestamp(), advance=bar.advance
            )
        show_sizes(model, done.sizes)
        emit(
            {
                **version_of(registered),
                "looked_at": done.looked,
                "moved": done.moved,
                "people": done.people,
                **({"sizes": done.sizes} if as_json else {}),
            },
            as_json=as_json,
        )
        if pause is None:
            return
        time.sleep(pause)


@segments.command()
@_workspace
@click.option("--version", default="latest", show_default=True, help="Number, alias or `latest`.")
@click.option(
    "--alias", default="champion", show_default=True, help="Alias: champion, challenger, shadow, ..."
)
@click.option("--force", is_flag=True, help="Promote against the gates; needs --reason.")
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_json
def promote(workspace: str | None, version: str, alias: str, force: bool, reason: str, as_json: bool) -> None:
    r"""Move an alias of the segment model to a version that passes its gates: the bundle is whole, assigns soundly, comes again.

    The champion steers people, triggers and audiences. Exit code 3 when a gate refuses.

    \b
    Examples:
        tailorbird segments promote
        tailorbird segments promote --version 2 --reason "finer groups"
    """
    from registry.versions.versions import Registry

    settings = load_settings(workspace=workspace)
    registry = Registry(settings, name=settings.segments_name)
    done = _moved(registry, version, alias, reason=reason, force=force)
    if not done.moved and done.before == done.version:
        say(f"{done.alias} is version {done.version} already")
    result = {"model": registry.name, **done.to_dict()}
    emit(
        result if as_json else {key: value for key, value in result.items() if key != "gates"},
        as_json=as_json,
    )
    done.require_moved()


def _moved(
    registry: "Registry", version: str, alias: str, *, reason: str, force: bool = False
) -> "Promotion":
    from registry.gates.segments import judge_segments
    from registry.promotion.promote import Order
    from registry.promotion.promote import promote as move
    from registry.who import whoami

    order = Order(alias, whoami(), _now(), reason=reason, force=force)
    done = move(registry, version, order=order, judged_by=judge_segments)
    show_gates(done)
    return done


def _promoted(registered: "Registered") -> bool:
    """Whether the champion is this version now: its gates may refuse."""
    from registry.versions.versions import Registry

    registry = Registry(registered.settings, name=registered.name)
    return _moved(registry, str(registered.version), "champion", reason="proposed by the search").moved


def _note(candidate: Mapping[str, Any], proposed: str | None) -> str:
    if str(candidate["number"]) == proposed:
        return "proposed"
    return "" if candidate["sound"] else "not sound"


def _opened(settings: Settings, version: str) -> "tuple[Registered, SegmentModel]":
    from registry.following.pointers import RegistryError
    from registry.versions.versions import Registry

    try:
        registered = Registry(settings, name=settings.segments_name).version(version)
    except RegistryError as error:
        raise TailorbirdError(
            error.what,
            remedy="`tailorbird segments fit` registers a version, `tailorbird segments promote` an alias",
        ) from error
    return registered, registered.open().model


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
