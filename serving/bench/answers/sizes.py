"""``tailorbird bench sizes``: what an answer costs as the catalogue grows, in one run."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from serving.bench.harness.load import tool
from serving.bench.harness.machine import Steps, machine
from serving.bench.harness.measure import measure
from serving.bench.harness.world import make_world
from serving.cluster import free_ports
from tailorbird.bundle import BUNDLE_PATH
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings

SOURCES = ("content", "sequence")
"""Sources whose vectors an index searches."""


@click.command("sizes")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for sizes.json.")
@click.option(
    "--items",
    "catalogues",
    default=(10_000, 100_000),
    show_default=True,
    multiple=True,
    type=click.IntRange(200),
    help="Items of a catalogue; the first is what the others are compared with.",
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; the median counts."
)
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(1.0), help="Length of one run."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic worlds.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def sizes(
    out: Path, catalogues: Sequence[int], users: int, rounds: int, seconds: float, seed: int, as_json: bool
) -> None:
    r"""Fit and serve a hybrid on catalogues of several sizes, one after the other, and press each.

    Each is pressed by 32 callers, then by one alone. A catalogue of a million items takes some minutes and 6 GB to make.

    \b
    Examples:
        tailorbird bench sizes --items 10000 --items 100000 --items 1000000 --out build/bench
    """
    out.mkdir(parents=True, exist_ok=True)
    found = [_measured(count, users=users, rounds=rounds, seconds=seconds, seed=seed) for count in catalogues]
    for each in found:
        each["p50_of_first"] = each["one_connection_p50_ms"] / found[0]["one_connection_p50_ms"]
    result = {"sizes": found, **machine(), "tool": tool(), "users": users, "seed": seed}
    (out / "sizes.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    table([_row(each) for each in found], title="What an answer costs as the catalogue grows")
    say(f"wrote {out / 'sizes.json'}")
    emit(result if as_json else {"sizes": [_row(each) for each in found]}, as_json=as_json)


def _measured(items: int, *, users: int, rounds: int, seconds: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home, steps = Path(scratch), Steps()
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0], replicas=2
        )
        with progress(f"{items:,} items") as step:

            def on_step(name: str) -> None:
                steps(name)
                step.update(description=f"{items:,} items: {name}")

            people = make_world(settings, items=items, users=users, seed=seed, on_step=on_step)
            steps("made")
        return {
            "items": items,
            **measure(settings, people, rounds=rounds, seconds=seconds, folder=home),
            "search": _searches(settings),
            "making_seconds": steps.seconds,
            "making_peak_mb": steps.peak_mb,
        }


def _searches(settings: Settings) -> dict[str, Any]:
    """What was chosen for each index, and its recall."""
    model = settings.folder / "models" / "1" / BUNDLE_PATH / "model"
    return {name: json.loads((model / name / "search.json").read_text("utf-8")) for name in SOURCES}


def _row(found: dict[str, Any]) -> dict[str, object]:
    fitting = sum(
        took for name, took in found["making_seconds"].items() if name.startswith(("fitting", "publishing"))
    )
    return {
        "items": found["items"],
        "one_caller_p50_ms": round(found["one_connection_p50_ms"], 2),
        "of_first": round(found["p50_of_first"], 2),
        "rps": round(found["recommend_rps"]),
        "of_noop": round(found["ratio"], 3),
        "recall": min(each["recall"] for each in found["search"].values()),
        "replica_pss_mb": max((each.get("pss", 0.0) for each in found["replica_memory_mb"]), default=0.0),
        "fit_and_publish_s": round(fitting),
        "making_peak_mb": round(found["making_peak_mb"]),
        "errors": found["errors"],
    }
