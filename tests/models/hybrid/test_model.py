"""The hybrid: fitted end to end on the toy world, asked online and in batches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tailorbird.models.hybrid.model as hybrid
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import Event
from tailorbird.events.valence import strengths
from tailorbird.features.contexts import NO_CONTEXTS, PastContexts
from tailorbird.features.facts import ItemFacts
from tailorbird.features.functions import Demographics
from tailorbird.features.items import ItemTable
from tailorbird.features.records import frame_microseconds
from tailorbird.features.replay import ReplayProfiles
from tailorbird.features.state import UserState
from tailorbird.models.hybrid.fit import FittedHybrid, Progress, fit_hybrid, new_items
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import input_sizes, ranker_cases
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.recipes.recipe import Recipe
from tailorbird.slate.query import Query
from tests.models import toy

NOW = toy.START + 24 * 60.0
RECIPE = Recipe.of(
    {
        "name": "toy",
        "width": 16,
        "candidates": 10,
        "exclude_seen": False,
        "sources": ["cooccurrence", "sequence", "content", "popularity"],
        "popularity": {"segment_events": 50},
        "cooccurrence": {"window": 3, "smoothing": 1.0, "ease_l2": 10.0},
        "sequence": {
            "history": 8,
            "epochs": 6,
            "refit_epochs": 1,
            "batch_events": 128,
            "learning_rate": 0.01,
        },
        "ranker": {"share": 0.3, "negatives": 9, "epochs": 20, "cases": 400},
    }
)


class Steps(list[Progress]):
    def __call__(self, progress: Progress) -> None:
        self.append(progress)


def _fit(steps: Steps) -> FittedHybrid:
    data = toy.interactions()
    log = toy.events(data)
    profiles = ReplayProfiles.of_frame(log, toy.catalog())
    return fit_hybrid(
        data,
        toy.catalog(),
        toy.people(),
        profiles,
        EventColumns.of_frame(log),
        RECIPE,
        seed=1,
        on_progress=steps,
    )


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.fixture(scope="module")
def fitted(steps: Steps) -> FittedHybrid:
    return _fit(steps)


@pytest.fixture(scope="module")
def model(fitted: FittedHybrid) -> HybridModel:
    return fitted.model


def _state(*item_rows: int, user: str = "someone") -> UserState:
    catalog = toy.catalog()
    return UserState.empty(user).fold(
        [
            Event(
                f"e-{place}",
                "click",
                NOW - 600 + 60 * place,
                NOW,
                user_id=user,
                item_id=catalog.item_ids[row],
            )
            for place, row in enumerate(item_rows)
        ],
        ItemFacts.of(catalog),
    )


def _ask(model: HybridModel, state: UserState, **options: object) -> np.ndarray:
    found = model.shortlist(model.history_of(state, now=NOW), **options)  # type: ignore[arg-type]
    scores, _ = model.score(found, state, now=NOW)
    return found.rows[np.argsort(-scores, kind="stable")]


def test_the_next_item_of_the_ring_comes_first(model: HybridModel) -> None:
    assert _ask(model, _state(0, 1, 2))[0] == 3
    assert _ask(model, _state(9, 10))[0] == 11


def test_queries_together_are_answered_as_each_alone(model: HybridModel) -> None:
    served = recommender_of(model)
    queries = [Query(state, NOW, k=5) for state in (_state(0, 1), _state(7), _state(), _state(1, 1, 2))]
    together = served.recommend_many(queries)
    for query, slate in zip(queries, together, strict=True):
        alone = [model.catalog.item_ids[row] for row in _ask(model, query.state)[:5]]
        assert [item.item_id for item in slate.items] == alone


def test_indexes_and_dense_scores_propose_the_same(
    model: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = model.history_of(_state(0, 1, 2), now=NOW)
    dense = model.shortlist(history, k=6, exclude=np.array([3, 4]))
    monkeypatch.setattr(hybrid, "DENSE_UP_TO", 1)
    searched = model.shortlist(history, k=6, exclude=np.array([3, 4]))
    assert searched.rows.tolist() == dense.rows.tolist()
    np.testing.assert_array_equal(searched.ranks, dense.ranks)
    np.testing.assert_allclose(searched.signals, dense.signals, atol=1e-4)


def test_excluded_items_are_never_proposed(model: HybridModel) -> None:
    exclude = np.array([3, 4, 5])
    assert not np.isin(_ask(model, _state(0, 1, 2), exclude=exclude), exclude).any()


def test_a_stranger_gets_what_is_popular(model: HybridModel) -> None:
    nobody = UserState.empty("stranger")
    found = model.shortlist(model.history_of(nobody, now=NOW))
    scores, user = model.score(found, nobody, now=NOW)
    popular = model.source_names.index("popularity")
    assert len(found) == 10
    assert (found.ranks[:, popular] >= 0).all()
    assert np.isfinite(scores).all()
    assert np.isfinite(user).all()


def test_a_strangers_segment_decides_what_is_popular(model: HybridModel) -> None:
    nobody = UserState.empty("stranger")
    best = {
        gender: model.shortlist(
            model.history_of(nobody, now=NOW, demographics=Demographics(age=30.0, gender=gender)), k=4
        ).rows
        for gender in "fm"
    }
    assert (best["f"] < toy.SHELF).all()  # even users, first shelf
    assert (best["m"] >= toy.SHELF).all()


def test_a_new_item_is_proposed_by_content_to_those_who_like_its_kind(model: HybridModel) -> None:
    content = model.source_names.index("content")
    found = model.shortlist(model.history_of(_state(6, 7, 8), now=NOW), k=13)
    place = found.rows.tolist().index(toy.COLD)
    assert found.ranks[place, content] >= 0


def test_a_page_counts_as_the_newest_event(model: HybridModel) -> None:
    history = model.history_of(_state(0, 1), now=NOW, item_row=8)
    assert history.items.tolist() == [0, 1, 8]
    assert history.times[-1] == NOW


def test_a_callers_list_is_scored_though_nobody_proposed_it(model: HybridModel) -> None:
    state = _state(0, 1, 2)
    given = model.signals(model.history_of(state, now=NOW), np.array([8, 3, 0]))
    scores, _ = model.score(given, state, now=NOW)
    assert given.rows.tolist() == [8, 3, 0]
    assert np.argmax(scores) == 1


def test_similar_items_are_of_the_same_shelf(model: HybridModel) -> None:
    found = model.similar(2, 4)
    assert found.rows.shape == (1, 4)
    assert 2 not in found.rows
    assert (found.rows[0] < toy.SHELF).all()


def test_more_than_the_catalogue_and_nothing_at_all(model: HybridModel) -> None:
    state = _state(0, 1)
    assert len(_ask(model, state, k=1000)) <= toy.ITEMS
    assert len(_ask(model, state, k=0)) == 0
    assert len(_ask(model, state, exclude=np.arange(toy.ITEMS))) == 0
    assert recommender_of(model).recommend_many([]) == []


def test_saved_and_loaded_answers_the_same(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    for state in (_state(0, 1, 2), _state(), _state(7, 8)):
        assert _ask(loaded, state).tolist() == _ask(model, state).tolist()
    assert loaded.recipe == model.recipe


def test_fresh_item_features_make_a_new_model_and_leave_the_old(model: HybridModel) -> None:
    table = ItemTable.build(toy.catalog(), EventColumns.of_frame(toy.events(toy.interactions()).head(5)), NOW)
    state = _state(0, 1)
    before = _ask(model, state)
    fresh = model.with_items(table, now=NOW)
    assert fresh.item_table is table
    assert model.item_table is not table
    assert _ask(model, state).tolist() == before.tolist()


def test_the_ranker_learns_from_events_that_its_retrievers_never_saw() -> None:
    data = toy.interactions()
    cut = float(np.quantile(data.times, 0.7))
    older, newer = data.before(cut), data.where(data.times >= cut)
    cases = ranker_cases(older, newer, recipe=RECIPE, seed=0)
    assert len(cases) == RECIPE.ranker.cases or len(cases) == len(newer)
    assert (cases.instants >= cut).all()
    assert (np.diff(cases.instants) >= 0).all()


def test_of_a_run_of_events_on_one_item_the_first_is_a_case() -> None:
    """What was clicked had been looked at before: asked at the click, only the target would have been seen."""
    items = np.array([0, 0, 1, 1, 1, 2, 1])
    world = Interactions.of(
        users=np.zeros(7, int),
        items=items,
        times=toy.START + 60.0 * np.arange(7),
        user_ids=np.array(["user:ann"], dtype=object),
        item_count=toy.ITEMS,
    )
    older, newer = world.where(items == 0), world.where(items > 0)
    first = ranker_cases(older, newer, recipe=replace(RECIPE, exclude_seen=True), seed=0)
    assert (first.instants - toy.START).tolist() == [120.0, 300.0]
    assert first.targets.tolist() == [1, 2]
    repeats = ranker_cases(older, newer, recipe=RECIPE, seed=0)
    assert (repeats.instants - toy.START).tolist() == [120.0, 300.0, 360.0]


def test_where_seen_items_are_never_answered_only_first_touches_are_cases() -> None:
    data = toy.interactions()  # the ring is walked four times: nothing is new in the last third
    cut = float(np.quantile(data.times, 0.7))
    older, newer = data.before(cut), data.where(data.times >= cut)
    assert len(ranker_cases(older, newer, recipe=replace(RECIPE, exclude_seen=True), seed=0)) == 0


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
    found = model.shortlist(model.history_of(_state(0, 1), now=NOW))
    plain, _ = model.score(found, _state(0, 1), now=NOW)
    morning, _ = model.score(found, _state(0, 1), now=NOW + 40_000.0)
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
        model, state = fitted.model, _state(2)
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
    assert len(_ask(small, _state(0))) > 0


def test_an_item_of_a_basket_is_asked_when_the_basket_begins() -> None:
    times = toy.START + np.array([0.0, 1e-6, 60.0, 60.000001, 60.000002, 120.0])
    world = Interactions.of(
        users=np.zeros(6, int),
        items=np.array([0, 1, 2, 3, 4, 5]),
        times=times,
        user_ids=np.array(["user:ann"], dtype=object),
        item_count=toy.ITEMS,
    )
    older, newer = world.before(toy.START + 30), world.where(world.times >= toy.START + 30)
    baskets = ranker_cases(older, newer, recipe=Recipe(baskets=True), seed=0)
    assert baskets.instants.tolist() == [times[2], times[2], times[2], times[5]]
    in_order = ranker_cases(older, newer, recipe=Recipe(), seed=0)
    assert in_order.instants.tolist() == times[2:].tolist()


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
        return UserState.empty("user:ann").fold([event], ItemFacts.of(catalog))

    by_valence, by_presence = _rated("valence"), _rated("presence")
    assert _ask(by_presence, rated(0, 5.0))[0] == 1
    liked = _ask(by_valence, rated(0, 5.0)).tolist()
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
        places[share] = _ask(fitted.model, _state(6, 8, 9), k=13).tolist().index(7)
    assert places[0.4] < places[0.0]


def test_items_that_are_taken_to_be_new_are_a_share_of_those_with_events() -> None:
    data = toy.interactions()
    assert not new_items(data, share=0.0, seed=0).any()
    drawn = new_items(data, share=0.5, seed=0)
    assert drawn.sum() == toy.SHELF
    assert not drawn[toy.COLD]
