"""Fitting: what is reported, what the ranker learns with, and what it must not learn."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import Event
from tailorbird.events.valence import strengths
from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import frame_microseconds
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.fit import FittedHybrid, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import input_sizes
from tailorbird.models.ranker.ranker import Ranker
from tests.models import toy
from tests.models.hybrid.asking import NOW, RECIPE, Steps, ask, profile_of


def test_fitting_reports_every_stage_and_its_curves(fitted: FittedHybrid, steps: Steps) -> None:
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert set(stages) == {*RECIPE.sources, "ranker", "refit"}
    losses = [step.figures["loss"] for step in steps if step.stage == "sequence" and step.step]
    assert losses == fitted.curves["sequence.loss"]
    assert len(fitted.curves["ranker.validation_loss"]) == RECIPE.ranker.epochs
    recalls = {
        name.split(".")[1]: value for name, value in fitted.metrics.items() if name.startswith("recall")
    }
    assert set(recalls) == {*RECIPE.sources, "union"}
    kept = int(np.argmin(fitted.curves["ranker.validation_loss"]))
    assert fitted.metrics["validation_ndcg_at_10"] == fitted.curves["ranker.validation_ndcg_at_10"][kept]
    assert recalls["union"] == pytest.approx(1.0)  # 10 of 13 items hold the shelf


def test_the_model_holds_the_ranker_that_was_trained(model: HybridModel) -> None:
    untrained = Ranker.of_sources(len(model.source_names), input_sizes(len(model.source_names)))
    assert not np.allclose(model.ranker.blend, untrained.blend)
    found = model.shortlist(model.history_of(profile_of(0, 1), now=NOW))
    plain, _ = model.score(found, profile_of(0, 1), now=NOW)
    morning, _ = model.score(found, profile_of(0, 1), now=NOW + 40_000.0)
    assert not np.allclose(plain, morning)  # the correction reads profile and clock


def test_the_ranker_reads_the_context_that_it_learned_with() -> None:
    """On phones people walk the ring on, at desks they go back one: only the context tells which."""
    data = toy.interactions(users=60)
    phone = data.users % 4 < 2
    step = np.where(phone, 1, -1)
    first = data.items - data.items // toy.SHELF * toy.SHELF
    place = np.arange(len(data)) - data.indptr[data.users]
    start = first - place
    walked = replace(
        data, items=((data.users % 2) * toy.SHELF + (start + step * place) % toy.SHELF).astype(np.int32)
    )
    log = toy.events(walked)
    devices = {key: "mobile" if user % 4 < 2 else "desktop" for user, key in enumerate(data.user_ids)}
    log["context"] = [json.dumps({"device": devices[key]}) for key in log["user_key"]]
    recipe = RECIPE.override({"sources": ["cooccurrence", "popularity"]})
    served = {}
    for name, contexts in (("blind", NO_CONTEXTS), ("seeing", PastContexts.of(log))):
        fitted = fit_hybrid(
            walked,
            toy.catalog(),
            toy.people(0),
            ReplayProfiles.of_frame(log, toy.catalog()),
            EventColumns.of_frame(log),
            recipe,
            contexts=contexts,
        )
        model, state = fitted.model, profile_of(2)
        found = model.shortlist(model.history_of(state, now=NOW))
        served[name] = [
            model.score(found, state, now=NOW, context={"device": device})[0].tolist()
            for device in ("mobile", "desktop")
        ]
    assert served["blind"][0] == served["blind"][1]
    assert not np.allclose(served["seeing"][0], served["seeing"][1], atol=1e-3)


def test_a_callback_that_raises_ends_the_fitting() -> None:
    class Pruned(Exception):
        pass

    def prune(progress: Progress) -> None:
        if progress.stage == "sequence" and progress.step == 2:
            raise Pruned

    data = toy.interactions(users=10)
    log = toy.events(data)
    with pytest.raises(Pruned):
        fit_hybrid(
            data,
            toy.catalog(),
            toy.people(),
            ReplayProfiles.of_frame(log, toy.catalog()),
            EventColumns.of_frame(log),
            RECIPE,
            on_progress=prune,
        )


def test_few_events_still_give_a_model_that_answers() -> None:
    data = toy.interactions(users=2, events=4)
    log = toy.events(data)
    small = fit_hybrid(
        data,
        toy.catalog(),
        toy.people(2),
        ReplayProfiles.of_frame(log, toy.catalog()),
        EventColumns.of_frame(log),
        RECIPE,
    ).model
    assert len(ask(small, profile_of(0))) > 0


def _rated(taste: str) -> HybridModel:
    """The walkers of the ring rate what they meet: five stars, but one to item 1, by everybody."""
    data = toy.interactions(users=40, events=24)
    log = toy.events(data)
    log["type"] = "rating"
    log["value"] = np.where(log["item_id"] == "item-1", 1.0, 5.0)
    catalog = toy.catalog()
    counted = _counted(log, catalog, taste)
    recipe = RECIPE.override({"sources": ["cooccurrence", "popularity"], "taste": taste})
    return fit_hybrid(
        counted,
        catalog,
        toy.people(0),
        ReplayProfiles.of_frame(log, catalog),
        EventColumns.of_frame(log),
        recipe,
    ).model


def _counted(log: pd.DataFrame, catalog: Catalog, taste: str) -> Interactions:
    said = strengths(log["type"], log["value"]) if taste == "valence" else np.ones(len(log), np.float32)
    codes, keys = pd.factorize(log["user_key"], sort=True)
    return Interactions.of(
        users=codes[said > 0],
        items=catalog.rows(log["item_id"])[said > 0],
        times=frame_microseconds(log["event_time"])[said > 0] / 1e6,
        weights=said[said > 0],
        user_ids=keys.to_numpy(object),
        item_count=len(catalog),
    )


def test_one_star_does_not_promote_its_item() -> None:
    catalog = toy.catalog()

    def rated(row: int, stars: float) -> UserState:
        event = Event(
            "r", "rating", NOW - 60, NOW - 60, user_id="ann", item_id=catalog.item_ids[row], value=stars
        )
        return fold(UserState.empty("user:ann"), [event], ItemFacts.of(catalog))

    by_valence, by_presence = _rated("valence"), _rated("presence")
    assert ask(by_presence, rated(0, 5.0))[0] == 1
    liked = ask(by_valence, rated(0, 5.0)).tolist()
    assert liked[0] == 2
    assert 1 not in liked[: toy.SHELF - 1]
    assert not len(by_valence.history_of(rated(0, 1.0), now=NOW).items)
    assert len(by_presence.history_of(rated(0, 1.0), now=NOW).items) == 1


def test_a_ranker_that_met_new_items_answers_with_one() -> None:
    """Item 7 has no event in the part that its model learns from, and is just what those who like music want."""
    data = toy.interactions(users=60)
    known = data.where(data.items != 7)
    catalog, log = toy.catalog(), toy.events(known)
    places = {}
    for share in (0.0, 0.4):
        recipe = RECIPE.override(
            {"sources": ["cooccurrence", "content", "popularity"], "ranker.new_items": share}
        )
        profiles = ReplayProfiles.of_frame(log, catalog)
        fitted = fit_hybrid(
            known, catalog, toy.people(0), profiles, EventColumns.of_frame(log), recipe, seed=1
        )
        places[share] = ask(fitted.model, profile_of(6, 8, 9), k=13).tolist().index(7)
    assert places[0.4] < places[0.0]
