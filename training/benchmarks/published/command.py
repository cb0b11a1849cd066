"""The ``benchmark`` command: a published protocol on a data set, every row of the table, files to recompute it from."""

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.evaluation.report import comparison_rows, slice_rows
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.recipes.recipe import load_recipe
from training.benchmarks.published.arrivals import cold_last, first_places, fit_without_cold, measure_arrived
from training.benchmarks.published.data import PROTOCOLS, PUBLISHED, Question, cut, read_own, read_published
from training.benchmarks.published.files import summary, write_files
from training.benchmarks.published.run import (
    HYBRID,
    Bench,
    fit_model,
    measure_baselines,
    measure_model,
    open_bench,
)
from training.benchmarks.published.shop import measure_oracle, simulated, verdict


@click.command()
@click.argument("dataset", metavar="DATASET")
@click.option(
    "--protocol", type=click.Choice(PROTOCOLS), help="How to measure; each data set has its own default."
)
@click.option(
    "--targets",
    type=click.Choice(["successive", "last"]),
    default="successive",
    show_default=True,
    help="gts: every later event of a user, or the last one only.",
)
@click.option("--cold", is_flag=True, help="gts: fit without a tenth of the items and ask for those only.")
@click.option(
    "--told-later",
    is_flag=True,
    help="With --cold: the model is not told of these items until it is fitted; then they join it as in a running shop.",
)
@click.option(
    "--ties",
    type=click.Choice(["file", "shuffled"]),
    default="file",
    show_default=True,
    help="Order of one user's events at one instant: the file's, or drawn by the seed.",
)
@click.option("--recipe", default="default", show_default=True, help="Name of a recipe, or a TOML file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for metrics.json and rankings.",
)
@click.option(
    "--path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the data set's files.  [default: DATASET under --data-root]",
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TAILORBIRD_DATA",
    default="../shared/data",
    show_default=True,
    show_envvar=True,
    help="Folder that holds the published data sets.",
)
@click.option("--events", type=click.Path(path_type=Path), help="Your own events (Parquet, CSV, JSONL).")
@click.option("--items", type=click.Path(path_type=Path), help="Your own items.")
@click.option("--users", type=click.Path(path_type=Path), help="Your own users.")
@click.option(
    "--mapping", default="shop", show_default=True, help="Mapping of your own files: a name or a TOML file."
)
@click.option(
    "--on",
    "part",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Tune on validation, report the test.",
)
@click.option(
    "--cases", "most_cases", type=click.IntRange(min=1), help="Draw at most so many cases.  [default: all]"
)
@click.option(
    "--size", type=click.IntRange(min=50), default=2000, show_default=True, help="shop: users to simulate."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice."
)
@click.option("--baselines-only", is_flag=True, help="Popularity rows only; fits nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def benchmark(
    dataset: str,
    protocol: str | None,
    targets: str,
    cold: bool,
    told_later: bool,
    ties: str,
    recipe: str,
    out: Path,
    path: Path | None,
    data_root: Path,
    events: Path | None,
    items: Path | None,
    users: Path | None,
    mapping: str,
    part: str,
    most_cases: int | None,
    size: int,
    seed: int,
    baselines_only: bool,
    as_json: bool,
) -> None:
    r"""Run a published protocol on DATASET and write what anyone needs to recompute the figures.

    DATASET is shop (simulated, with the row of an oracle that knows everybody's taste), movielens-1m, amazon-beauty,
    diginetica or online-retail; or any name, with --events. The whole catalogue is ranked. Popularity, recent popularity and
    every retriever alone stand beside the hybrid, all with 95% bootstrap intervals over users.

    \b
    Writes into --out:
        metrics.json        every metric at 5, 10, 20 and 100 of every row, with intervals and slices
        rankings.parquet    case_id, user_id, target, items (the hybrid's 100 best, best first)
        rankings/*.parquet  the same of the other rows

    \b
    Examples:
        tailorbird benchmark shop --out runs/shop
        tailorbird benchmark movielens-1m --protocol gts --out runs/ml-gts
        tailorbird benchmark movielens-1m --protocol gts --cold --out runs/ml-cold
        tailorbird benchmark shop --cold --told-later --recipe quick --out runs/arrivals
        tailorbird benchmark diginetica --protocol sessions --out runs/digi --cases 5000
        tailorbird benchmark mine --events e.parquet --items i.parquet --mapping m.toml --out runs/mine
    """
    started = time.perf_counter()
    question = Question(
        protocol or PUBLISHED.get(dataset, "gts"),
        targets=targets,
        cold=cold,
        tie_seed=seed if ties == "shuffled" else None,
        told_later=told_later,
    )
    chosen = load_recipe(recipe)
    _check(question, out=out)
    shop, data = None, None
    if events is None and dataset == "shop":
        shop, data = simulated(size, seed=seed)
    elif events is None:
        data = read_published(dataset, question, path=path or data_root / dataset)
    else:
        data = read_own(
            dataset, mapping=mapping, path=path, events=events, items=items, users=users, now=time.time()
        )
    if told_later:
        data = cold_last(data)
    plan = cut(data, question)
    bench = open_bench(data, plan, part=part, most_cases=most_cases, seed=seed)
    bench.seconds["prepare"] = time.perf_counter() - started
    say(_words(bench, question, part=part))
    measure_baselines(bench, plan)
    fitted = None
    if not baselines_only:
        said = {
            "exclude_seen": bench.cases.exclude_seen,
            "baskets": plan.name == "retail",
            "taste": "presence",
        }
        chosen = chosen.override(said)  # the protocol says so
        if told_later:
            fitted = fit_without_cold(bench, chosen, seed=seed)
            measure_arrived(bench, fitted.model)
        else:
            fitted = fit_model(bench, chosen, seed=seed)
            measure_model(bench, fitted, cold=cold)
    if shop is not None:
        measure_oracle(bench, shop)
    bench.seconds["total"] = time.perf_counter() - started
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    result = summary(
        bench, question=question, part=part, recipe=chosen, seed=seed, fitted=fitted, command=command
    )
    if shop is not None:
        result["verdict"] = verdict(bench)
    if told_later and fitted is not None:
        result["verdict"] = first_places(data, fitted.model, shop, seed=seed)
    write_files(bench, result, out=out)
    table(comparison_rows(bench.reports), title=f"{data.name}, {plan.name}, {part}")
    best = HYBRID if HYBRID in bench.reports else "popularity"
    table(slice_rows(bench.reports[best]), title=f"{best}, by kind of case")
    emit(result if as_json else _short(result, out=out), as_json=as_json)


def _check(question: Question, *, out: Path) -> None:
    if question.told_later and not question.cold:
        raise UsageError(
            "--told-later without --cold", remedy="say which items are told later: --cold --told-later"
        )
    if question.cold and question.protocol != "gts":
        raise UsageError(
            f"--cold with protocol {question.protocol}", remedy="cold items are measured with --protocol gts"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TailorbirdError(
            f"cannot make {out}: {error.strerror}", remedy="give a folder you may write"
        ) from error


def _words(bench: Bench, question: Question, *, part: str) -> str:
    repeats = "seen items are excluded" if bench.cases.exclude_seen else "repeats count"
    return (
        f"{bench.data.name}, {question.protocol}{' cold' if question.cold else ''}, {part}: learn from "
        f"{len(bench.split.fit):,} events, answer {len(bench.cases):,} cases of "
        f"{len(np.unique(bench.cases.case_users)):,} users among {len(bench.data.catalog):,} items; {repeats}"
    )


def _short(result: Mapping[str, Any], *, out: Path) -> dict[str, object]:
    keys = ("hr@10", "ndcg@10", "mrr@20", "hr@20", "recall@100", "coverage@10")
    return {
        "wrote": str(out),
        **{key: result["metrics"][key] for key in keys},
        **result.get("verdict", {}),
        "peak memory, MB": result["peak_memory_mb"],
        "seconds": result["seconds"]["total"],
    }
