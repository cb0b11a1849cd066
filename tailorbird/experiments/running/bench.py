"""``tailorbird bench assignment``: what assigning a request costs while many experiments run."""

import statistics
import time
from collections.abc import Callable, Sequence

import click

from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.assigning import Asker, Assignment
from tailorbird.experiments.running.buckets import BUCKETS, Range
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.units import may_be_unit, person_unit
from tailorbird.features.profile.state import UserState
from tailorbird.plumbing.terminal import emit

ROUNDS, LAYER_SIZE = 15, 5
CONTEXT = {"device": "mobile", "referrer": "search"}


@click.command()
@click.option(
    "--experiments", default=20, show_default=True, type=click.IntRange(1, 100), help="How many run."
)
@click.option("--requests", default=20_000, show_default=True, type=click.IntRange(1_000), help="Of a round.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def assignment(experiments: int, requests: int, as_json: bool) -> None:
    r"""Time the assignment of requests: units, consent, audiences, buckets, variants and the arm they make; medians of rounds.

    `each_us`: every experiment has a layer of its own and takes everybody. `layers_us`: five to a layer, each for a fifth, with an audience.
    `empty_us`: nothing runs.

    \b
    Examples:
        tailorbird bench assignment
    """
    states = [UserState.empty(f"user:{n:032x}") for n in range(requests)]
    alone = running(experiments)
    shared = Assignment([_entry(n, shared=True) for n in range(experiments)])
    kinds: dict[str, Callable[[], None]] = {
        "empty_us": lambda: _assign(Assignment(()), states),
        "each_us": lambda: _assign(alone, states),
        "layers_us": lambda: _assign(shared, states),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, work in kinds.items():
            started = time.process_time()
            work()
            taken[name].append((time.process_time() - started) / requests * 1e6)
    result: dict[str, object] = {name: round(statistics.median(each), 2) for name, each in taken.items()}
    emit({"experiments": experiments, "requests": requests, **result}, as_json=as_json)


def running(count: int, *, slates: bool = True) -> Assignment:
    """So many experiments, each in a layer of its own and for everybody; the first changes ``slates``, the others pages."""
    return Assignment([_entry(n, slates=slates) for n in range(count)])


def _assign(found: Assignment, states: Sequence[UserState]) -> None:
    for state in states:
        if found and may_be_unit(state, CONTEXT):
            found.assign(
                Asker(person=person_unit(state), scenario="home", context=CONTEXT, segments=("cooks",))
            )


def _entry(n: int, *, shared: bool = False, slates: bool = True) -> Entry:
    key = f"experiment-{n}"
    said = {
        "hypothesis": "h",
        "metrics": {"primary": "click_through", "minimum_effect": 0.1},
        "variants": {
            "control": {},
            "b": {"slate": {"depth": 100}} if slates and n == 0 else {"payload": {key: 1}},
        },
    }
    held = Range(0, BUCKETS)
    if shared:
        place = n % LAYER_SIZE
        said |= {
            "layer": f"layer-{n // LAYER_SIZE}",
            "audience": {"segments": ["cooks"], "context": {"device": ["mobile"]}, "scenarios": ["home"]},
        }
        held = Range(place * BUCKETS // LAYER_SIZE, (place + 1) * BUCKETS // LAYER_SIZE)
    return Entry(experiment_of(key, said, where=key), "running", 1, (held,), 0.0, None, None, "", said)
