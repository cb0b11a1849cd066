"""Answers that were given, asked again of another arm: with which chance it would have shown what was shown."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from registry.following.follower import Follower
from registry.following.pointers import RegistryError
from tailorbird.bundle import open_bundle
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.valence import RatingScale
from tailorbird.experiments.arm import Arm
from tailorbird.experiments.declared import ARMS_FILE, read_arms
from tailorbird.experiments.off_policy.evaluation import Evaluation
from tailorbird.experiments.off_policy.slates import SlateLog, evaluate_slates
from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.learned import read_exposures, read_followed
from tailorbird.exposures.outcomes import Shown, by_model
from tailorbird.exposures.past import events_of_person
from tailorbird.exposures.profiles import rebuild_profile
from tailorbird.exposures.trace import query_of
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import taken_back_in
from tailorbird.features.demographics import NOBODY, Demographics, demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.settings import Settings
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf
from tailorbird.streams.factory import open_events

PLACES, MOST_ANSWERS = 3, 2_000
"""Of a twin's off-policy value: places that count, and the newest answers that are read."""
BEYOND = ("boost", "pin", "maxPerCategory", "maxPerBrand", "includeItemIds", "weights")
"""Wishes of a request that an exposure does not hold in a form that can be asked again."""


def slates_of_arm(
    settings: Settings, arm: str, *, places: int, most: int, worth: Mapping[str, float]
) -> SlateLog:
    """The newest ``most`` answers of other arms, their first ``places``, with the chances that ``arm`` gives them.

    Raises:
        UsageError: there is no such arm, or nothing that can be asked again.
        RegistryError: its alias has no version.
    """
    recommender, learned_until = _recommender(settings, arm)
    return slates_of(
        settings, recommender, name=arm, places=places, most=most, worth=worth, learned_until=learned_until
    )


def twin_off_policy(settings: Settings, twin: HybridModel, since: float) -> dict[str, Any]:
    """What a model would have earned in the champion's place, by the answers after ``since`` (epoch seconds), as plain values.

    Clicks per slate: ``value`` with its interval ``low`` to ``high`` (doubly robust), beside what the answers earned as they were,
    ``logged``, of so many ``slates``; or a ``refusal``, which says why they cannot tell.
    """
    try:
        champion = next(iter(read_arms(settings.folder / ARMS_FILE)))
        shelf = Shelf.of_past(twin.catalog, Catalog.read_with_history(settings.catalog_folder).history)
        log = slates_of(
            settings,
            champion.slate.applied_to(recommender_of(twin, shelf=shelf)),
            places=PLACES,
            most=MOST_ANSWERS,
            worth={"click": 1.0},
            learned_until=since,
            start=since,
        )
    except TailorbirdError as error:  # a version is not lost with what only judges it
        return {"refusal": error.what}
    return figures_of(evaluate_slates(log))


def figures_of(found: Evaluation) -> dict[str, Any]:
    """What :func:`twin_off_policy` says of an evaluation."""
    if found.refusal or found.on_policy is None:
        return {"refusal": found.refusal, "slates": found.rows}
    robust = next(each for each in found.estimates if each.name == "dr")
    low, high = robust.interval
    figures = {"value": robust.value, "low": low, "high": high, "logged": found.on_policy.value}
    if not all(map(math.isfinite, figures.values())):
        return {"refusal": "a chance that was stored is no number", "slates": found.rows}
    return {**{name: round(float(value), 6) for name, value in figures.items()}, "slates": found.rows}


def slates_of(
    settings: Settings,
    recommender: Recommender,
    *,
    places: int,
    most: int,
    worth: Mapping[str, float],
    name: str = "",
    learned_until: float = 0.0,
    start: float | None = None,
) -> SlateLog:
    """Of the newest ``most`` answers those after ``learned_until`` (epoch seconds) and not of the arm ``name``, with the chances that ``recommender`` gives them.

    What is older than ``start`` (epoch seconds) is not read, so that no note counts it.

    Raises:
        UsageError: nothing can be asked again.
    """
    left_out: Counter[str] = Counter()
    kept: list[Exposure] = []
    for exposure in read_exposures(settings, most=most, start=start):
        why = _unusable(exposure, name, places, learned_until=learned_until)
        left_out[why] += 1
        if not why:
            kept.append(exposure)
    shown = Shown.of(kept, read_followed(settings, types=sorted(worth), start=start), worth=worth)
    chances = _chances(settings, recommender, shown.exposures, places)
    rows = [place for place, found in enumerate(chances) if found is not None]
    left_out["the profile of then cannot be made again"] += len(kept) - len(rows)
    if len(rows) < 2:
        raise UsageError(
            f"{len(rows)} answers of other arms can be asked again" + (f" of {name!r}" if name else ""),
            remedy=f"serve some to people first; an answer counts whose first {places} items a model ranked, and that is younger "
            "than what the arm's model learned from",
        )
    return SlateLog(
        np.array([shown.exposures[row].propensities[:places] for row in rows], np.float64),
        np.array([chances[row] for row in rows], np.float64),
        np.array([shown.gains[row][:places] for row in rows], np.float64),
        notes=tuple(f"{count:,} answers left out: {why}" for why, count in left_out.items() if why and count),
    )


def _recommender(settings: Settings, name: str) -> tuple[Recommender, float]:
    """What the arm asks, and the instant (epoch seconds) of the last event that its model learned from."""
    arms: dict[str, Arm] = {arm.name: arm for arm in read_arms(settings.folder / ARMS_FILE)}
    if name not in arms:
        raise UsageError(
            f"no arm {name!r}", remedy=f"name one of {', '.join(arms)}, or declare it in arms.toml"
        )
    arm, follower = arms[name], Follower(settings)
    version = follower.look([arm.alias])[arm.alias]
    if version is None:
        raise RegistryError(
            f"no version has the alias {arm.alias}",
            remedy=f"`tailorbird promote --alias {arm.alias}` sets it",
        )
    bundle = open_bundle(follower.fetch(arm.alias, version).folder)
    model = bundle.model
    assert isinstance(model, HybridModel)
    history = Catalog.read_with_history(settings.catalog_folder).history
    shelf = Shelf.of_past(model.catalog, history)
    known = bundle.manifest.data_span[1] or bundle.manifest.created_at
    learned_until = dt.datetime.fromisoformat(known).timestamp()
    return arm.slate.applied_to(recommender_of(model, name=name, version=version, shelf=shelf)), learned_until


def _unusable(exposure: Exposure, arm: str, places: int, *, learned_until: float) -> str:
    if exposure.arm == arm:
        return "they are the arm's own"
    if exposure.instant <= learned_until:  # it would be asked what it was told the answer to
        return "they are from before the arm's model was trained"
    if exposure.first_position or by_model(exposure) < places or not exposure.user_vector.size:
        return "later pages, or lists filled them"
    return "their wishes are not kept" if any(name in exposure.request for name in BEYOND) else ""


def _chances(
    settings: Settings, recommender: Recommender, exposures: Sequence[Exposure], places: int
) -> list[np.ndarray | None]:
    """For each exposure the (places,) chances of its items; None where its profile cannot be made again."""
    catalog = Catalog.read_with_history(settings.catalog_folder)
    facts = ItemFacts.of(catalog, scale=RatingScale.parse(settings.rating_scale))
    people: Mapping[str, Demographics] = demographics_of(Users.read(settings.catalog_folder))
    found: list[np.ndarray | None] = []
    taken_back = taken_back_in(settings, PERSONALIZATION)
    with closing(open_events(settings)) as happened:
        for exposure in exposures:
            rebuilt = rebuild_profile(
                exposure.user_key,
                events_of_person(happened, exposure.user_key),
                facts,
                instant=exposure.scored_at,
                version=exposure.profile_version,
                history_length=settings.history_length,
                taken_back=taken_back,
            )
            if not rebuilt.exact:
                found.append(None)
                continue
            query = query_of(exposure, rebuilt, people.get(exposure.user_key, NOBODY))
            found.append(recommender.chances(query, exposure.items[:places]))
    return found
