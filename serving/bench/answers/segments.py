"""``tailorbird bench segments``: what it costs to say where somebody belongs: one assignment, and answers with segments beside answers without."""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from serving.bench.harness.inside import Inside
from serving.bench.harness.machine import machine
from serving.bench.harness.turns import in_turns
from serving.bench.harness.world import shown_world
from serving.recommend.slate.exposures import NoExposures
from tailorbird.features.demographics import Demographics
from tailorbird.features.history.records import RECORD
from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import USER_FEATURES
from tailorbird.plumbing.terminal import emit, say
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.model import Segment, SegmentModel, weights_of
from tailorbird.segments.pinned import Pin, PinnedSegments, segment_vector
from tailorbird.segments.signs import PRICES, SIGNS
from tailorbird.segments.told import TOLD_SIGNS
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_exposures

GROUPS = 8
"""Segments of the model that is measured: more than most that are found."""
PEOPLE = 200
PERSON = Demographics(age=34.0, gender="f")


@click.command("segments")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for segments.json.")
@click.option(
    "--assignments", default=20_000, show_default=True, type=click.IntRange(1_000), help="Timed one by one."
)
@click.option(
    "--events", default=128, show_default=True, type=click.IntRange(1), help="Of each history assigned."
)
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--pairs", default=60, show_default=True, type=click.IntRange(3), help="Turns with segments and without."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def segments(
    out: Path, assignments: int, events: int, items: int, users: int, pairs: int, seed: int, as_json: bool
) -> None:
    r"""Time assignments one by one, then answers in one process with segments and without, in turns.

    An assignment goes from a live state to the segment with its memberships: what each event of the history says for eight
    segments, summed up in both memories; `features_us` is what a model that pins segments does more in a request. Answers rank as `bench exposures` has them do, without HTTP;
    `answers_ratio` is requests a second with segments on ÷ off, by the processor's time of turns that follow each other.

    \b
    Examples:
        tailorbird bench segments --out build/bench
        tailorbird bench segments --out build/bench --items 2000 --users 500 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    promoted = PromotedSegments("1", model_of_size(np.random.default_rng(seed)))
    result: dict[str, object] = timed(promoted, count=assignments, events=events, seed=seed)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(home=home / "home", mlruns=home / "mlruns", workspace="bench")
        people = shown_world(settings, items=items, users=users, seed=seed)
        result |= _answering(settings, people, promoted, pairs=pairs, seed=seed)
    result |= {**machine(), "segments": GROUPS}
    result |= {"items": items, "users": users, "seed": seed}
    (out / "segments.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'segments.json'}")
    emit(result if as_json else {key: result[key] for key in _SHOWN}, as_json=as_json)


_SHOWN = (
    "assignment_us",
    "assignment_p95_us",
    "features_us",
    "answer_cpu_ms",
    "answers_ratio",
    "answers_ratio_quartiles",
)


def model_of_size(rng: np.random.Generator) -> SegmentModel:
    """A model whose numbers are random: what it says is nothing, what it costs is what one of its size does."""
    weights = weights_of(
        {
            "half_lives": (20 * 86_400.0, 3 * 86_400.0),
            "edges": np.sort(rng.normal(3.0, 1.0, PRICES - 1)),
            "log_chances": np.log(rng.uniform(0.02, 0.5, (GROUPS, SIGNS))),
            "told": rng.normal(size=(GROUPS, TOLD_SIGNS)),
            "bias": np.zeros(GROUPS),
            "slack": 1.0,
            "margin": 1.0,
            "least": 5.0,
        }
    )
    groups = [
        Segment(f"s{n}", f"segment {n}", (f"segment {n}",), 1 / GROUPS, 1.0, 1.0) for n in range(GROUPS)
    ]
    return SegmentModel(tuple(groups), weights, method="random")


def timed(promoted: PromotedSegments, *, count: int, events: int, seed: int) -> dict[str, object]:
    """Microseconds of one assignment, the median and the 95th percentile of ``count``."""
    rng = np.random.default_rng(seed)
    states = [_state(rng, events) for _ in range(PEOPLE)]
    for state in states:  # makes the machine code
        promoted.belonging(state, PERSON)
    took = np.zeros(count)
    for turn in range(count):
        state = states[turn % PEOPLE]
        started = time.perf_counter_ns()
        promoted.belonging(state, PERSON)
        took[turn] = time.perf_counter_ns() - started
    return {
        "assignment_us": float(np.median(took)) / 1000,
        "assignment_p95_us": float(np.percentile(took, 95)) / 1000,
        "features_us": _features_us(promoted.model, states, count=count),
        "assignments": count,
        "events": events,
    }


def _features_us(model: SegmentModel, states: Sequence[UserState], *, count: int) -> float:
    """Microseconds, the median, of what a model that pins segments does more in a request: place somebody, fill in the features."""
    pinned = PinnedSegments(Pin("bench", "1", ""), model)
    own = np.zeros(len(USER_FEATURES), np.float32)
    took = np.zeros(count)
    for turn in range(count):
        started = time.perf_counter_ns()
        placed = pinned.placed(states[turn % PEOPLE], PERSON)
        pinned.key_of(placed)
        np.concatenate([own, segment_vector(placed)])
        took[turn] = time.perf_counter_ns() - started
    return float(np.median(took)) / 1000


def _state(rng: np.random.Generator, events: int) -> UserState:
    """Somebody who did ``events`` things in a month."""
    history = np.zeros(events, RECORD)
    history["time"] = np.sort(rng.integers(0, 30 * 86_400_000_000, events)) + 1_780_000_000_000_000
    history["message"] = np.arange(1, events + 1)
    history["item"] = rng.integers(1, 1_000, events)
    history["session"] = np.arange(events) // 9 + 1
    history["type"] = rng.choice([TYPE_CODE[name] for name in ("view", "click", "add_to_cart")], events)
    history["kept"] = 1
    history["value"] = np.nan
    history["log_price"] = rng.normal(3.0, 1.0, events)
    return replace(UserState.empty("user:bench"), history=history, total=events)


def _answering(
    settings: Settings, people: Sequence[str], promoted: PromotedSegments, *, pairs: int, seed: int
) -> dict[str, object]:
    """The processor's time of answers with segments and without, turn by turn."""
    inside = Inside(settings)
    stream = open_exposures(settings)
    silent = NoExposures(stream)

    having, without = inside.service(silent, segments=lambda: promoted), inside.service(silent)
    figures = in_turns(having, without, people, pairs=pairs, seed=seed)
    silent.close()
    stream.close()
    inside.close()
    return figures
