"""The commands of this room: train, tune, evaluate, promote, rollback, mlflow."""

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings

if TYPE_CHECKING:
    from registry.versions import Registered

_workspace = click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_recipe = click.option(
    "--recipe", default="default", show_default=True, help="A recipe's name or the path of a TOML file."
)
_seed = click.option("--seed", default=0, show_default=True, help="Seed of everything that draws.")
_alias = click.option(
    "--alias", default="champion", show_default=True, help="Alias: champion, challenger, shadow, ..."
)


@click.command()
@_workspace
@_recipe
@_seed
@click.option("--again", is_flag=True, help="Train even if this recipe was trained on this very data.")
@_json
def train(workspace: str | None, recipe: str, seed: int, again: bool, as_json: bool) -> None:
    r"""Fit one recipe, measure it on the newest events, track it in MLflow and register the bundle.

    The figures come from a twin that never saw the newest tenth of the events; the version that is registered has then
    learned from all of them.

    \b
    Examples:
        tailorbird train --recipe quick
        tailorbird train --workspace movielens-1m --recipe mine.toml --seed 1
    """
    from tailorbird.recipes.recipe import load_recipe
    from training.data.training_set import training_set
    from training.fit.train import train as train_recipe

    settings, chosen = load_settings(workspace=workspace), load_recipe(recipe)
    dataset = training_set(settings)
    trained = train_recipe(dataset, chosen, settings=settings, seed=seed, now=_now(), again=again)
    if not trained.fresh:
        say(f"this recipe was trained on this very data before: version {trained.registered.version}")
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
@_seed
@_json
def tune(
    workspace: str | None,
    recipe: str,
    space: str | None,
    trials: int,
    parallel: int | None,
    pruner: str,
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
    from tailorbird.recipes.recipe import load_recipe
    from training.data.training_set import training_set
    from training.tuning.space import FOLDER, load_space
    from training.tuning.tune import Job
    from training.tuning.tune import tune as run_study

    settings, start = load_settings(workspace=workspace), load_recipe(recipe)
    named = space or (start.name if (FOLDER / f"{start.name}.toml").is_file() else "default")
    job = Job(
        dataset=training_set(settings),
        recipe=start,
        space=load_space(named, start),
        trials=trials,
        parallel=parallel or _cpus(),
        pruner=pruner,
        seed=seed,
    )
    tuned = run_study(job, settings=settings, now=_now())
    if not tuned.fresh:
        say(f"study {tuned.study} was finished before: version {tuned.registered.version}")
    figures = {key: value for key, value in asdict(tuned).items() if key != "registered"}
    emit({**_version(tuned.registered), **figures}, as_json=as_json)


@click.command()
@_workspace
@click.option("--version", default="latest", show_default=True, help="Number, alias or `latest`.")
@click.option("--least", default=100, show_default=True, help="Fewest cases that newer events must give.")
@_json
def evaluate(workspace: str | None, version: str, least: int, as_json: bool) -> None:
    r"""Evaluate a registered version on events newer than any it learned from.

    Where there are too few of them, the figures of its twin are shown: how it did on the newest tenth of its own data.

    \b
    Examples:
        tailorbird evaluate
        tailorbird evaluate --version champion --json
    """
    from registry.versions import Registry
    from training.data.training_set import training_set
    from training.evaluation.evaluate import evaluate as ask

    settings = load_settings(workspace=workspace)
    registered = Registry(settings).version(version)
    bundle = registered.open()
    with progress("asking newer events") as bar:
        found = ask(bundle, training_set(settings), settings=settings, least=least, advance=bar.advance)
    if found.measured is None:
        say(f"{found.newer:,} events are newer than this version: too few, so the figures are its twin's")
        shown = {"model": bundle.metrics["model"], **bundle.metrics["beside"]}
    else:
        say(
            f"{found.newer:,} events are newer than this version ({found.unknown:,} on items it does not know)"
        )
        shown = {name: report.to_dict() for name, report in found.measured.reports.items()}
    table([{"model": name, **_headline(figures["metrics"])} for name, figures in shown.items()])
    result = {
        **_version(registered),
        "measured_on": "newer events" if found.measured else "the twin's test part",
        "newer_events": found.newer,
        "cases": shown["model"]["cases"],
        "metrics": {name: value["mean"] for name, value in shown["model"]["metrics"].items()},
    }
    emit(result if as_json else {**result, "metrics": _headline(shown["model"]["metrics"])}, as_json=as_json)


@click.command()
@_workspace
@click.option("--version", default="latest", show_default=True, help="Number, alias or `latest`.")
@_alias
@click.option("--force", is_flag=True, help="Promote against the gates; needs --reason.")
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_json
def promote(workspace: str | None, version: str, alias: str, force: bool, reason: str, as_json: bool) -> None:
    r"""Move an alias to a version that passes the gates.

    The gates: its bundle verifies, a smoke request answers, and on the cases that both were asked its NDCG@10 is not
    worse than the present version's beyond the interval. Exit code 3 when a gate refuses.

    \b
    Examples:
        tailorbird promote
        tailorbird promote --version 7 --alias challenger
        tailorbird promote --version 7 --force --reason "the champion's items are gone"
    """
    from registry.promote import RefusedError
    from registry.promote import promote as move
    from registry.versions import Registry
    from training.evaluation.champion import asker

    settings = load_settings(workspace=workspace)
    done = move(
        Registry(settings),
        version,
        alias=alias,
        force=force,
        reason=reason,
        now=_now(),
        ask=asker(settings),
    )
    table([gate.row() for gate in done.gates], title=f"version {done.version} ▸ {alias}")
    if not done.moved and done.before == done.version:
        say(f"{alias} is version {done.version} already")
    result = {
        "model": settings.model_name,
        "alias": alias,
        "version": done.version,
        "before": done.before,
        "promoted": done.moved,
        "forced": done.forced,
        "gates": {gate.name: gate.passed for gate in done.gates},
    }
    emit(result if as_json else {k: v for k, v in result.items() if k != "gates"}, as_json=as_json)
    refused = [gate.name for gate in done.gates if not gate.passed]
    if refused and not done.moved:
        raise RefusedError(
            f"version {done.version} is not promoted: {', '.join(refused)}",
            remedy="see the table above; --force --reason TEXT overrides the gates",
        )


@click.command()
@_workspace
@_alias
@click.option("--reason", default="", help="Why; recorded with who and when.")
@_json
def rollback(workspace: str | None, alias: str, reason: str, as_json: bool) -> None:
    r"""Return an alias to the version it pointed at before.

    \b
    Examples:
        tailorbird rollback --reason "click rate fell"
        tailorbird rollback --alias challenger
    """
    from registry.promote import roll_back
    from registry.versions import Registry

    settings = load_settings(workspace=workspace)
    left, now_at = roll_back(Registry(settings), alias=alias, reason=reason, now=_now())
    emit({"model": settings.model_name, "alias": alias, "version": now_at, "before": left}, as_json=as_json)


@click.command("mlflow")
@_workspace
@click.option("--port", type=click.IntRange(1, 65535), help="Port; default TAILORBIRD_MLFLOW_PORT.")
def mlflow_pages(workspace: str | None, port: int | None) -> None:
    r"""Open the MLflow pages of this workspace, until Ctrl-C.

    \b
    Examples:
        tailorbird mlflow
        tailorbird mlflow --port 5001
    """
    from registry.tracking.pages import serve_pages

    settings: Settings = load_settings(workspace=workspace, mlflow_port=port)
    if settings.tracking_uri:
        raise UsageError(
            f"an MLflow server keeps the runs already: {settings.tracking_uri}", remedy="open that address"
        )
    serve_pages(settings)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _cpus() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(registered: "Registered") -> dict[str, object]:
    return {
        "model": registered.name,
        "version": registered.version,
        "bundle": registered.tags.get("bundle", ""),
        "ndcg@10": registered.tags.get("ndcg_at_10", ""),
        "cases": registered.tags.get("cases", ""),
        "folder": str(registered.folder),
    }


def _headline(metrics: dict[str, Any]) -> dict[str, str]:
    def cell(value: dict[str, float]) -> str:
        return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"

    return {name: cell(metrics[name]) for name in ("ndcg@10", "hr@10", "mrr@10") if name in metrics}
