"""``tailorbird bench experiments``: what answers cost while many experiments run, beside answers while none does."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from serving.bench.harness.inside import Inside
from serving.bench.harness.machine import Steps, machine
from serving.bench.harness.turns import in_turns
from serving.bench.harness.world import make_world
from serving.recommend.slate.exposures import NoExposures
from tailorbird.experiments.running.assigning import Assignment
from tailorbird.experiments.running.bench import running
from tailorbird.plumbing.terminal import emit, say
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_exposures

_SHOWN = (
    "experiments",
    "pages_answer_cpu_ms",
    "pages_answers_ratio",
    "pages_answers_ratio_quartiles",
    "slates_answers_ratio",
    "slates_answers_ratio_quartiles",
)


@click.command("experiments")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for experiments.json.")
@click.option(
    "--experiments", "count", default=20, show_default=True, type=click.IntRange(1, 100), help="How many run."
)
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option("--pairs", default=60, show_default=True, type=click.IntRange(3), help="Turns of each kind.")
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def experiments(out: Path, count: int, items: int, users: int, pairs: int, seed: int, as_json: bool) -> None:
    r"""Answer the same people in one process while experiments run and while none does, in turns.

    Each experiment has a layer of its own and takes everybody. `answers_ratio` is requests a second with ÷ without, by the processor's
    time of turns that follow each other, without HTTP and without the log of exposures: where all of them change pages alone, and where one
    changes slates, so that requests that wait together are answered in two groups.

    \b
    Examples:
        tailorbird bench experiments --out build/bench
        tailorbird bench experiments --out build/bench --items 2000 --users 500 --experiments 5 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(home=home / "home", mlruns=home / "mlruns", workspace="bench")
        people = make_world(settings, items=items, users=users, seed=seed, on_step=Steps())
        result: dict[str, object] = {"experiments": count}
        for name, found in (("pages", running(count, slates=False)), ("slates", running(count))):
            figures = _answering(settings, people, found, pairs=pairs, seed=seed)
            result |= {f"{name}_{key}": value for key, value in figures.items()}
    result |= {**machine(), "items": items, "users": users, "seed": seed}
    (out / "experiments.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'experiments.json'}")
    emit(result if as_json else {key: result[key] for key in _SHOWN}, as_json=as_json)


def _answering(
    settings: Settings, people: Sequence[str], assignment: Assignment, *, pairs: int, seed: int
) -> dict[str, object]:
    stream = open_exposures(settings)
    silent = NoExposures(stream)
    having, without = Inside(settings, running=lambda: assignment), Inside(settings)
    figures = in_turns(having.service(silent), without.service(silent), people, pairs=pairs, seed=seed)
    silent.close()
    stream.close()
    having.close()
    without.close()
    return figures
