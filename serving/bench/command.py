"""``tailorbird bench serving``: requests per second and latencies against a no-op route of the same application."""

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from feature_repo.command import build_features
from serving.bench.answers.cache import cache
from serving.bench.answers.experiments import experiments
from serving.bench.answers.exposures import exposures
from serving.bench.answers.keys import keys
from serving.bench.answers.privacy import privacy
from serving.bench.answers.segments import segments
from serving.bench.answers.shadow import shadow
from serving.bench.answers.sizes import sizes
from serving.bench.faults.faults import faults
from serving.bench.faults.machines import machines
from serving.bench.faults.redis import redis
from serving.bench.harness.load import tool
from serving.bench.harness.machine import Steps, machine
from serving.bench.harness.measure import ANSWERS, CONNECTIONS, figures, measure, pressed
from serving.bench.harness.world import declare_second_arm, make_world
from serving.bench.streams.archive import archive
from serving.bench.streams.catalogue import catalogue
from serving.bench.streams.erasure import erasure
from serving.bench.streams.events import events
from serving.bench.streams.readout import readout
from serving.bench.streams.sealing import sealing
from serving.cluster import free_ports
from serving.command import running
from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import load_settings

FEW_USERS = 200
_SHOWN = ("noop_rps", "recommend_rps", "ratio", "online_of_here")


@click.group()
def bench() -> None:
    r"""Measure speed on this machine.

    \b
    Examples:
        tailorbird bench serving --out build/bench
        tailorbird bench sizes --items 10000 --items 1000000 --out build/bench
        tailorbird bench events --out build/bench
        tailorbird bench faults --out build/bench --kills 3
        tailorbird bench archive
        tailorbird bench cache --out build/bench
        tailorbird bench catalogue --out build/bench
    """
    if load_settings().tls_cert:
        raise UsageError("benches speak plain HTTP on loopback", remedy="unset TAILORBIRD_TLS_CERT")


bench.add_command(sizes)
bench.add_command(events)
bench.add_command(faults)
bench.add_command(archive)
bench.add_command(catalogue)
bench.add_command(experiments)
bench.add_command(exposures)
bench.add_command(redis)
bench.add_command(cache)
bench.add_command(machines)
bench.add_command(segments)
bench.add_command(keys)
bench.add_command(privacy)
bench.add_command(erasure)
bench.add_command(readout)
bench.add_command(shadow)
bench.add_command(sealing)


@bench.command("serving")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for results.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--replicas",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Replicas of the application: one a core.",
)
@click.option(
    "--arms", default=2, show_default=True, type=click.IntRange(1, 2), help="Arms that every replica holds."
)
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds; the median counts."
)
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(1.0), help="Length of one run."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--online", metavar="ADDRESS", help="Compare with live profiles kept there, in the same run.")
@click.option("--without-exposures", is_flag=True, help="Measure also with exposures left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def serving(
    out: Path,
    items: int,
    users: int,
    replicas: int,
    arms: int,
    rounds: int,
    seconds: float,
    seed: int,
    online: str | None,
    without_exposures: bool,
    as_json: bool,
) -> None:
    r"""Compare recommendations with a no-op FastAPI route, in one application, in one run.

    Fits a hybrid on synthetic data in a temporary workspace, serves it, then presses both routes in turn: 200 candidates
    ranked, 20 answered, distinct users, no result cache, two arms loaded, exposures written. A last run shows what the result cache adds.

    \b
    Examples:
        tailorbird bench serving --out build/bench
        tailorbird bench serving --out build/bench --items 50000 --rounds 3 --json
        tailorbird bench serving --out build/bench --online redis://127.0.0.1:6379/9?prefix=bench
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(
            home=home / "home",
            mlruns=home / "mlruns",
            workspace="bench",
            port=free_ports(1)[0],
            replicas=replicas,
        )
        steps = Steps()
        with progress("Making the world") as step:

            def on_step(name: str) -> None:
                steps(name)
                step.update(description=name)

            people = make_world(settings, items=items, users=users, seed=seed, on_step=on_step)
            steps("made")
            if arms > 1:
                declare_second_arm(settings)
        plain = measure(settings, people, rounds=rounds, seconds=seconds, folder=home)
        there: dict[str, object] = {}
        if online:  # before, there, and again: a machine that slows down meanwhile costs both
            other = settings.model_copy(update={"online": online})
            build_features(other)
            moved = measure(other, people, rounds=2 * rounds, seconds=seconds, folder=home)
            again = measure(settings, people, rounds=rounds, seconds=seconds, folder=home)
            there = _compared(moved, with_=[plain, again])
        bare: dict[str, object] = {}
        if without_exposures:
            bare = measure(
                settings, people, rounds=rounds, seconds=seconds, folder=home, store_exposures=False
            )
        with running(settings, result_cache_seconds=60.0):
            cached = pressed(settings, people[:FEW_USERS], seconds=seconds, folder=home)
    result = {
        **plain,
        **there,
        **figures("cached", [cached]),
        **{f"without_exposures_{name}": bare[name] for name in ("ratio", "ratios") if bare},
        **machine(),
        "tool": tool(),
        "connections": CONNECTIONS,
        "answers": ANSWERS,
        "items": items,
        "users": users,
        "arms": arms,
        "seed": seed,
        "making_seconds": steps.seconds,
        "making_peak_mb": steps.peak_mb,
    }
    (out / "results.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    table(
        [
            {"route": name, **{key: result[f"{name}_{key}"] for key in ("rps", "p50_ms", "p95_ms", "p99_ms")}}
            for name in ("noop", "recommend", "cached")
        ],
        title="Requests per second and latencies, medians",
    )
    say(f"wrote {out / 'results.json'}")
    emit(
        result if as_json else {key: result[key] for key in _SHOWN if key in result},
        as_json=as_json,
    )


def _compared(moved: Mapping[str, Any], *, with_: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """What keeping live profiles elsewhere leaves of the ratio."""
    here = [ratio for each in with_ for ratio in each["ratios"]]
    return {
        "online_ratios": moved["ratios"],
        "online_errors": moved["errors"],
        "online_one_connection_p50_ms": moved["one_connection_p50_ms"],
        "here_ratios": here,
        "online_of_here": statistics.median(moved["ratios"]) / statistics.median(here),
    }
