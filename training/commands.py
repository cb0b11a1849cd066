"""The commands of this room: train, tune, evaluate."""

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.recipes.recipe import load_recipe
from tailorbird.settings import load_settings

if TYPE_CHECKING:
    from registry.versions.versions import Registered

_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_recipe = click.option(
    "--recipe", default="default", show_default=True, help="A recipe's name or the path of a TOML file."
)
_segments = click.option(
    "--segments",
    default="champion",
    show_default=True,
    help="Version of the segment model to pin: number, alias, or `none`.",
)
_seed = click.option("--seed", default=0, show_default=True, help="Seed of everything that draws.")


@click.command()
@_workspace
@_recipe
@_segments
@_seed
@click.option("--again", is_flag=True, help="Train even if this code trained this recipe on this very data.")
@_json
def train(workspace: str | None, recipe: str, segments: str, seed: int, again: bool, as_json: bool) -> None:
    r"""Fit one recipe, measure it on the newest events, track it in MLflow and register the bundle.

    The figures come from a twin that never saw the newest tenth of the events; the version that is registered has then
    learned from all of them.

    \b
    Examples:
        tailorbird train --recipe quick
        tailorbird train --workspace movielens-1m --recipe mine.toml --seed 1
    """
    settings, chosen = load_settings(workspace=workspace), load_recipe(recipe)
    from registry.following.pinned import segments_to_pin
    from training.data.training_set import training_set
    from training.fit.train import train as train_recipe

    now = _now()  # before the data is read: whoever was erased until then is in none of it
    dataset = training_set(settings)
    trained = train_recipe(
        dataset,
        chosen,
        settings=settings,
        seed=seed,
        now=now,
        again=again,
        pinned=segments_to_pin(settings, segments),
    )
    if not trained.fresh:
        say(f"this code trained this recipe on this very data before: version {trained.registered.version}")
    emit({**_version(trained.registered), "fresh": trained.fresh}, as_json=as_json)


@click.command()
@_workspace
@_recipe
@click.option("--space", help="A search space's name or path; default: named like the recipe, or `default`.")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Trials in all.")
@click.option("--parallel", type=click.IntRange(1), help="Trials at once; default: one a CPU.")
@click.option(
    "--pruner",
    type=click.Choice(["median", "hyperband", "none"]),
    default="median",
    show_default=True,
    help="Which trials to stop early.",
)
@_segments
@_seed
@_json
def tune(
    workspace: str | None,
    recipe: str,
    space: str | None,
    trials: int,
    parallel: int | None,
    pruner: str,
    segments: str,
    seed: int,
    as_json: bool,
) -> None:
    r"""Search a recipe's space with Optuna on Ray, then train, measure and register the best.

    Stopped half-way it goes on where it was when the same command comes again; finished, it only says so. More
    ``--trials`` continue the same study.

    \b
    Examples:
        tailorbird tune --recipe quick --trials 4
        tailorbird tune --recipe default --space my_space.toml --trials 50 --pruner hyperband
    """
    settings, start = load_settings(workspace=workspace), load_recipe(recipe)
    from registry.following.pinned import segments_to_pin
    from training.data.training_set import training_set
    from training.tuning.space import FOLDER, load_space
    from training.tuning.tune import Job
    from training.tuning.tune import tune as run_study

    named = space or (start.name if (FOLDER / f"{start.name}.toml").is_file() else "default")
    now = _now()  # before the data is read
    job = Job(
        dataset=training_set(settings),
        recipe=start,
        space=load_space(named, start),
        trials=trials,
        parallel=parallel or _cpus(),
        pruner=pruner,
        seed=seed,
        pinned=segments_to_pin(settings, segments),
    )
    tuned = run_study(job, settings=settings, now=now)
    if not tuned.fresh:
        say(f"study {tuned.study} was finished before: version {tuned.registered.version}")
    figures = {key: value for key, value in asdict(tuned).items() if key != "registered"}
    emit({**_version(tuned.registered), **figures}, as_json=as_json)


@click.command()
@_workspace
@click.option("--version", default="latest", show_default=True, help="Number, alias or `latest`.")
@click.option(
    "--cases-of",
    help="Ask what this version was asked (number or alias), as far as it is newer than what --version learned from.",
)
@click.option("--least", default=100, show_default=True, help="Fewest cases that newer events must give.")
@_json
def evaluate(workspace: str | None, version: str, cases_of: str | None, least: int, as_json: bool) -> None:
    r"""Evaluate a registered version on events newer than any it learned from, and keep the cases with its run.

    Where there are too few of them, the figures of its twin are shown: how it did on the newest tenth of its own data.
    The gates of `tailorbird promote` judge by the cases that were kept.

    \b
    Examples:
        tailorbird evaluate
        tailorbird evaluate --version champion --json
        tailorbird evaluate --version champion --cases-of latest
    """
    from registry.versions.cases import add_cases
    from registry.versions.cases import cases_of as cases_kept
    from registry.versions.versions import Registry
    from training.data.training_set import training_set
    from training.evaluation.evaluate import evaluate as ask

    settings = load_settings(workspace=workspace)
    registry = Registry(settings)
    registered = registry.version(version)
    only = cases_kept(registry, registry.version(cases_of))["case"].to_numpy() if cases_of else None
    bundle = registered.open()
    with progress("asking newer events") as bar:
        found = ask(
            bundle,
            training_set(settings),
            settings=settings,
            least=1 if cases_of else least,
            only=only,
            advance=bar.advance,
        )
    kept = 0
    if found.measured is None:
        say(f"{found.newer:,} events are newer than this version: too few, so the figures are its twin's")
        shown = {"model": bundle.metrics["model"], **bundle.metrics["beside"]}
    else:
        say(
            f"{found.newer:,} events are newer than this version ({found.unknown:,} on items it does not know)"
        )
        shown = {name: report.to_dict() for name, report in found.measured.reports.items()}
        kept = add_cases(registry, registered, found.measured.cases, now=_now())
        say(f"{kept:,} cases more are kept with version {registered.version}")
    table([{"model": name, **_headline(figures["metrics"])} for name, figures in shown.items()])
    result = {
        **_version(registered),
        "measured_on": "newer events" if found.measured else "the twin's test part",
        "newer_events": found.newer,
        "cases": shown["model"]["cases"],
        "cases_kept": kept,
        "metrics": {name: value["mean"] for name, value in shown["model"]["metrics"].items()},
    }
    emit(result if as_json else {**result, "metrics": _headline(shown["model"]["metrics"])}, as_json=as_json)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _cpus() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(registered: "Registered") -> dict[str, object]:
    cases = registered.tags.get("cases")
    return {
        "model": registered.name,
        "version": registered.version,
        "bundle": registered.tags.get("bundle", ""),
        "ndcg@10": registered.tags.get("ndcg_at_10", ""),
        "cases": int(cases) if cases else None,
        "folder": registered.place,
    }


def _headline(metrics: dict[str, Any]) -> dict[str, str]:
    def cell(value: dict[str, float]) -> str:
        return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"

    return {name: cell(metrics[name]) for name in ("ndcg@10", "hr@10", "mrr@10") if name in metrics}
