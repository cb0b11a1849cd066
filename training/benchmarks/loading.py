"""``tailorbird bench data``: memory and time of what `features` and `train` read, at growing numbers of events."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa

from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import SCHEMA, USER
from tailorbird.plumbing.terminal import emit, progress, table
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import compact_stream, open_events
from tailorbird.streams.position import BEGINNING

ITEMS = 10_000
EVENTS_PER_USER = 100
SPAN_DAYS = 200
AT_ONCE = 500_000
STEPS = ("features", "train")


@click.command()
@click.option(
    "--sizes", default="1,3,10", show_default=True, help="Millions of events, each measured by itself."
)
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Folder to work in; kept afterwards."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic events.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def data(sizes: str, home: Path | None, seed: int, as_json: bool) -> None:
    r"""Measure memory and time of loading for `features` and `train`.

    Synthetic events go into the event stream and its archive; then each step runs in a process of its own, whose peak
    memory is taken. `features` folds all events into the live profiles, `train` reads them and makes the offline rows of a training
    with the default recipe's cases.

    \b
    Examples:
        tailorbird bench data
        tailorbird bench data --sizes 0.3,1 --json
    """
    counts = _counts(sizes)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as own:
        rows = [_measured(count, home=home or Path(own), seed=seed) for count in counts]
    table(rows, title="loading, each step in a process of its own")
    emit({"rows": rows}, as_json=as_json)


def _counts(sizes: str) -> list[int]:
    try:
        counts = [round(float(size) * 1e6) for size in sizes.split(",")]
    except ValueError as error:
        raise UsageError(f"--sizes {sizes!r}: {error}", remedy="give millions, such as 0.3,1,3") from error
    if min(counts) < 1_000:
        raise UsageError(f"--sizes {sizes!r}: too few events", remedy="give 0.001 (a thousand) at least")
    return counts


def _measured(count: int, *, home: Path, seed: int) -> dict[str, object]:
    settings = load_settings(home=home, workspace=f"data-{count}")
    written = write_events(settings, count=count, seed=seed)
    row: dict[str, object] = {"events": count, "written_s": written}
    with progress(f"{count:,} events", total=len(STEPS)) as bar:
        for step in STEPS:
            bar.update(description=f"{count:,} events: {step}")
            found = _in_a_process(step, settings)
            row |= {f"{step}_s": found["seconds"], f"{step}_gb": found["peak_gb"]}
            bar.advance()
    return row


def write_events(settings: Settings, *, count: int, seed: int) -> float:
    """Fill a workspace with ``count`` synthetic events, archived; the seconds it took. One that is full stays."""
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    catalog = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"item-{n}" for n in range(ITEMS)],
                "categories": [[f"c{n % 50}"] for n in range(ITEMS)],
                "price": np.round(rng.lognormal(3.0, 0.8, ITEMS), 2),
            }
        )
    )
    catalog.write(settings.catalog_folder)
    with open_events(settings) as events, progress(f"writing {count:,} events", total=count) as bar:
        if events.lag(BEGINNING) >= count:
            return 0.0
        for start in range(0, count, AT_ONCE):
            events.append_table(
                _table(start, min(count, start + AT_ONCE), of=count, rng=rng), on_rows=bar.advance
            )
            compact_stream(events)
    return round(time.monotonic() - started, 1)


def _table(start: int, end: int, *, of: int, rng: np.random.Generator) -> pa.Table:
    """Events in the order of time: popular items come more often, everybody has a device."""
    size = end - start
    users = rng.integers(0, max(1, of // EVENTS_PER_USER), size)
    items = (ITEMS * rng.power(0.5, size)).astype(int)
    micros = (1.7e15 + np.arange(start, end) * (SPAN_DAYS * 86_400e6 / of)).astype(np.int64)
    kinds = np.array(["view", "view", "view", "click", "add_to_cart", "purchase"], object)
    columns = {
        "message_id": pa.array([f"m{n}" for n in range(start, end)]),
        "type": pa.array(kinds[rng.integers(0, len(kinds), size)]),
        "user_id": pa.array([f"user-{n}" for n in users.tolist()]),
        "user_key": pa.array([f"{USER}user-{n}" for n in users.tolist()]),
        "session_id": pa.array([f"s{n}-{at // 3_600_000_000}" for n, at in zip(users, micros, strict=True)]),
        "item_id": pa.array([f"item-{n}" for n in items.tolist()]),
        "event_time": pa.array(micros).cast(SCHEMA.field("event_time").type),
        "received_time": pa.array(micros + 500_000).cast(SCHEMA.field("received_time").type),
        "context": pa.array(['{"device": "mobile"}'] * size),
    }
    arrays = [columns.get(kind.name, pa.nulls(size, kind.type)) for kind in EVENTS.schema]
    return pa.Table.from_arrays(arrays, schema=EVENTS.schema)


def _in_a_process(step: str, settings: Settings) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "training.benchmarks.loading",
        step,
        str(settings.home),
        settings.workspace,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise TailorbirdError(
            f"step {step!r} ended with {done.returncode}: {done.stderr[-500:]}",
            remedy="with too little memory, give smaller --sizes",
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _features(settings: Settings) -> None:
    from feature_repo.command import build_features

    build_features(settings)


def _train(settings: Settings) -> None:
    from tailorbird.recipes.recipe import load_recipe
    from training.data.training_set import training_set
    from training.fit.plan import Plan

    plan = Plan.of(training_set(settings), load_recipe("default"), settings=settings, seed=0)
    plan.warmed(plan.protocol.test)


def main(step: str, home: str, workspace: str) -> None:
    """Run one step and print what it took: seconds, and the peak of resident memory in gigabytes."""
    settings = load_settings(home=Path(home), workspace=workspace)
    started = time.monotonic()
    {"features": _features, "train": _train}[step](settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    found = {"seconds": round(time.monotonic() - started, 1), "peak_gb": round(peak, 2)}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
