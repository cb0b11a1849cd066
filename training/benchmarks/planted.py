"""How well planted behaviours are found, and how soon and how calmly a change of them is: beside oracles that know the truth."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import click
import numpy as np

from tailorbird.errors import UsageError
from tailorbird.features.demographics import demographics_of
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.plumbing.terminal import emit, progress, table
from tailorbird.segments.assigning import assign
from tailorbird.segments.finding.evidence import evidence
from tailorbird.segments.finding.finding import LEAST_TO_LEARN, Crowd, find, model_of
from tailorbird.segments.model import SegmentModel, weights_of
from tailorbird.segments.told import told_of, told_signs
from tailorbird.simulator.shop import Shop

SETTLED = 20
"""Events of a person after which a move is a move, and not a first impression that is put right."""
BACK_SECONDS = 900.0
"""There and back within so long is an oscillation."""
_DAY = 86_400.0


@dataclass(frozen=True)
class Planted:
    """What one shop gave: adjusted Rand indices over people of whom enough was seen, and figures of moves.

    ``moves`` are per person and day of the 60; ``oscillations`` in all; those ``unsmoothed`` follow the fast memory alone.
    ``alarmed`` is the share of people who never change and whom a move was told of all the same; delays are events until a
    change is noticed, at equal shares of alarmed people.
    """

    seed: int
    groups: int
    found: float
    oracle: float
    moves: float
    moves_unsmoothed: float
    oscillations: float
    oscillations_unsmoothed: float
    alarmed: float
    delay: float
    delay_detector: float
    never: float
    never_detector: float
    seconds: float

    @property
    def ratio(self) -> float:
        """Of what the oracle reaches."""
        return self.found / self.oracle


@click.command()
@click.option("--seeds", default="200-209", show_default=True, help="Shops to simulate: 3, or 200-209.")
@click.option("--size", type=click.IntRange(200), default=2_000, show_default=True, help="People of a shop.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def planted(seeds: str, size: int, as_json: bool) -> None:
    r"""Measure how well segments find behaviours that were planted, and how they follow those who change.

    Each shop is simulated with seven ways to go about a visit; segments are found without their number. Beside stand an
    oracle that names people by their events and knows every parameter, and a detector of changes that knows the likelihoods.

    \b
    Examples:
        tailorbird bench planted
        tailorbird bench planted --seeds 7 --size 500 --json
    """
    found = []
    wanted = numbers(seeds)
    with progress("shops", total=len(wanted)) as bar:
        for seed in wanted:
            found.append(measure_planted(size, seed=seed))
            bar.advance()
    table(
        [
            {
                "seed": str(each.seed),
                "groups": str(each.groups),
                "found": f"{each.found:.3f}",
                "oracle": f"{each.oracle:.3f}",
                "ratio": f"{each.ratio:.2f}",
                "moves a day": f"{each.moves:.3f} ({each.moves_unsmoothed:.3f})",
                "there and back": f"{each.oscillations:.0f} ({each.oscillations_unsmoothed:.0f})",
                "alarmed": f"{each.alarmed:.1%}",
                "delay": f"{each.delay:.0f} ({each.delay_detector:.0f})",
                "never": f"{each.never:.0%} ({each.never_detector:.0%})",
            }
            for each in found
        ],
        title="In brackets: without smoothing; of the detector",
    )
    emit(
        {
            "shops": len(found),
            "ratio, mean": round(float(np.mean([each.ratio for each in found])), 3),
            "ratio, least": round(min(each.ratio for each in found), 3),
            "oscillations, times fewer": round(
                sum(each.oscillations_unsmoothed for each in found)
                / max(1, sum(each.oscillations for each in found)),
                1,
            ),
            "delay ÷ detector's, median": round(
                float(np.median([each.delay / max(1.0, each.delay_detector) for each in found])), 2
            ),
            **({"of_each": [asdict(each) for each in found]} if as_json else {}),
        },
        as_json=as_json,
    )


def measure_planted(size: int, *, seed: int) -> Planted:
    """Simulate one shop, find its segments, and measure them."""
    from sklearn.metrics import adjusted_rand_score

    from tailorbird.simulator.behaviour_oracle import oracle_labels

    shop = Shop.make(size, seed, behaviours=True)
    started = time.perf_counter()
    histories, told = _people(shop, seed=seed)
    crowd = Crowd.of(histories, told)
    found = find(crowd, seed=seed)
    if found.proposed is None:
        raise UsageError(
            f"nothing was found in the shop of seed {seed}", remedy="simulate more people: --size"
        )
    model = model_of(found, found.proposed, seed=seed)
    seconds = time.perf_counter() - started
    ids = shop.users.users["user_id"].tolist()
    truth = shop.behaviour_at(ids, shop.end)
    oracle = oracle_labels(shop, since=shop.truth.start, until=shop.end)
    slow = crowd.half_lives[:1]
    seen = np.array([evidence(each, slow)[0, 0, 1] >= LEAST_TO_LEARN for each in histories])
    labels, _ = model.labels(histories, told)
    followed = _followed(shop, model, told, labels=labels)
    return Planted(
        seed=seed,
        groups=len(model.segments),
        found=float(adjusted_rand_score(truth[seen], labels[seen])),
        oracle=float(adjusted_rand_score(truth[seen], oracle[seen])),
        seconds=seconds,
        **followed,
    )


def _people(shop: Shop, *, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Histories at the end of the shop's time, and what people told, in its order."""
    events = shop.events()
    events["user_key"] = "user:" + events["user_id"].astype(str)
    keys = [f"user:{name}" for name in shop.users.users["user_id"]]
    profiles = ReplayProfiles.of_frame(events, shop.catalog)
    states = profiles.states_at(keys, np.full(len(keys), shop.end + 10 * _DAY))
    people = demographics_of(shop.users)
    return [state.history for state in states], np.stack([told_of(people[key]) for key in keys])


def _followed(shop: Shop, model: SegmentModel, told: np.ndarray, *, labels: np.ndarray) -> dict[str, float]:
    """Labels after each event of everybody, and what they say of moves and delays, beside the detector's."""
    from tailorbird.simulator.change_oracle import cusum, log_likelihood_ratio

    events = shop.events()
    events["user_key"] = "user:" + events["user_id"].astype(str)
    profiles = ReplayProfiles.of_frame(events, shop.catalog, length=1_024)
    keys = [f"user:{name}" for name in shop.users.users["user_id"]]
    states = profiles.states_at(keys, np.full(len(keys), shop.end + 10 * _DAY))
    hasty = SegmentModel(model.segments, weights_of({**model.weights._asdict(), "margin": 0.0}))
    conducts = shop.truth.conducts
    old, new = conducts.behaviours.T
    changes = np.where(old != new, conducts.changes_at, np.inf)
    ids = shop.users.users["user_id"].tolist()
    target = _segment_of_behaviours(shop.behaviour_at(ids, shop.end), labels, count=len(model.segments))
    calm, rash, alarmed, steady, delays = [0, 0], [0, 0], 0, 0, []
    for user, state in enumerate(states):
        times = state.history["time"] / 1e6
        told_labels = [_labels(each, state.history, told[user]) for each in (model, hasty)]
        for counted, given in zip((calm, rash), told_labels, strict=True):
            moves, back = _moves(given, times)
            counted[0] += moves
            counted[1] += back
        if not np.isfinite(changes[user]):
            if len(times) > SETTLED:
                steady += 1
                alarmed += _moves(told_labels[0], times)[0] > 0
            continue
        after = told_labels[0][times >= changes[user]]
        if len(after) >= 10 and (times < changes[user]).sum() >= 10:
            hits = after == target[new[user]]
            delays.append(hits.argmax() + 1 if hits.any() else np.inf)
    rng = np.random.default_rng([shop.seed, 9])
    other = np.where(
        old != new,
        new,
        (old + rng.integers(1, len(shop.behaviour_names), shop.size)) % len(shop.behaviour_names),
    )
    statistic = cusum(shop, log_likelihood_ratio(shop, old=old, new=other))
    theirs = _detector(shop, statistic, changes=changes, alarmed=alarmed / max(1, steady))
    days = (shop.end - shop.truth.start) / _DAY
    return {
        "moves": calm[0] / shop.size / days,
        "moves_unsmoothed": rash[0] / shop.size / days,
        "oscillations": calm[1],
        "oscillations_unsmoothed": rash[1],
        "alarmed": alarmed / max(1, steady),
        "delay": float(np.median(delays)) if delays else np.nan,
        "never": float(np.isinf(delays).mean()) if delays else np.nan,
        "delay_detector": theirs[0],
        "never_detector": theirs[1],
    }


def _labels(model: SegmentModel, history: np.ndarray, told: np.ndarray, *, length: int = 128) -> np.ndarray:
    """(n,) the label after each event, as the live profile of ``length`` events had it."""
    found, own = np.full(len(history), -1), told_signs(told)
    for end in range(1, len(history) + 1):
        found[end - 1] = assign(history[max(0, end - length) : end], own, model.weights)[0]
    return found


def _moves(labels: np.ndarray, times: np.ndarray) -> tuple[int, int]:
    """Moves of a settled person, and how many of them went back within BACK_SECONDS."""
    places = np.flatnonzero(np.diff(labels[SETTLED:])) + SETTLED + 1
    back = sum(
        labels[second] == labels[first - 1] and times[second] - times[first] <= BACK_SECONDS
        for first, second in pairwise(places)
    )
    return len(places), int(back)


def _segment_of_behaviours(truth: np.ndarray, labels: np.ndarray, *, count: int) -> np.ndarray:
    """(b,) the segment that most people of each behaviour are in."""
    return np.array(
        [
            np.bincount(labels[(truth == each) & (labels >= 0)], minlength=count).argmax()
            for each in range(truth.max() + 1)
        ]
    )


def _detector(
    shop: Shop, statistic: np.ndarray, *, changes: np.ndarray, alarmed: float
) -> tuple[float, float]:
    """Median delay in events, and the share never noticed, of the detector at this share of falsely alarmed people."""
    user, at = shop.visits.user, shop.visits.at / 1e6
    counts = np.bincount(user, minlength=shop.size)
    steady = ~np.isfinite(changes) & (counts > SETTLED)
    peaks = np.zeros(shop.size)
    np.maximum.at(peaks, user, statistic)
    threshold = float(np.quantile(peaks[steady], max(0.0, 1.0 - alarmed)))
    delays = []
    for each in np.flatnonzero(np.isfinite(changes)).tolist():
        own = user == each
        after = statistic[own & (at >= changes[each])] > threshold
        if len(after) >= 10 and (own & (at < changes[each])).sum() >= 10:
            delays.append(after.argmax() + 1 if after.any() else np.inf)
    return (float(np.median(delays)), float(np.isinf(delays).mean())) if delays else (np.nan, np.nan)


def numbers(text: str) -> Sequence[int]:
    """The seeds that a text such as 3, or 200-209, names."""
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} are no seeds", remedy="write 3, or 200-209") from error
