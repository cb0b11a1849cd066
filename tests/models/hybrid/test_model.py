"""The hybrid: fitted end to end on the toy world, asked online and in batches."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tailorbird.models.hybrid.model as hybrid
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import Event
from tailorbird.features.facts import ItemFacts
from tailorbird.features.functions import Demographics
from tailorbird.features.items import ItemTable
from tailorbird.features.replay import ReplayProfiles
from tailorbird.features.state import UserState
from tailorbird.models.hybrid.fit import FittedHybrid, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import input_sizes, newer_cases
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.recipes.recipe import Recipe
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
        "ranker": {"share": 0.3, "negatives": 9, "epochs": 6, "cases": 400},
    }
)


class Steps(list[Progress]):
    def __call__(self, progress: Progress) -> None:
        self.append(progress)


def _fit(steps: Steps) -> FittedHybrid:
    data = toy.interactions()
    log = toy.events(data)
    profiles = ReplayProfiles(log, toy.catalog())
    return fit_hybrid(data, toy.catalog(), toy.people(), profiles, log, RECIPE, seed=1, on_progress=steps)


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


def test_a_batch_ranks_as_single_requests_do(model: HybridModel) -> None:
    states = [_state(0, 1), _state(7), _state(), _state(1, 1, 2)]
    alone = [_ask(model, state) for state in states]
    histories = [model.history_of(state, now=NOW) for state in states]
    together = toy.asking(*(h.items.tolist() for h in histories))
    together = replace(
        together, times=np.concatenate([h.times for h in histories]), now=np.full(len(states), NOW)
    )
    found = model.rank(together, states, k=5)
    for rows, expected in zip(found.rows, alone, strict=True):
        width = min(5, len(expected))
        assert rows[:width].tolist() == expected[:width].tolist()
        assert (rows[width:] == -1).all()


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


def test_an_item_is_proposed_from_its_launch_on(model: HybridModel) -> None:
    history = toy.asking([0, 1, 2])
    now = float(history.now[0])
    best = int(model.rank(history, [_state(0, 1, 2)], k=1).rows[0, 0])
    for launch, shown in ((now + 1.0, False), (now, True)):
        dates = model.catalog.items["launched_at"].to_numpy(copy=True)
        dates[best] = launch
        dated = model._but(catalog=Catalog(model.catalog.items.assign(launched_at=dates)))
        assert (best in dated.rank(history, [_state(0, 1, 2)], k=5).rows) == shown


def test_excluded_items_are_never_proposed(model: HybridModel) -> None:
    exclude = np.array([3, 4, 5])
    assert not np.isin(_ask(model, _state(0, 1, 2), exclude=exclude), exclude).any()
    found = model.rank(toy.asking([0, 1, 2]), [_state(0, 1, 2)], k=13, exclude=[exclude])
    assert not np.isin(found.rows, exclude).any()


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
    assert model.rank(toy.asking([0]), [state], k=0).rows.shape == (1, 0)
    assert len(_ask(model, state, exclude=np.arange(toy.ITEMS))) == 0
    assert model.rank(toy.asking(), [], k=3).rows.shape == (0, 3)


def test_saved_and_loaded_answers_the_same_without_anybodys_demographics(
    model: HybridModel, tmp_path: Path
) -> None:
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    for state in (_state(0, 1, 2), _state(), _state(7, 8)):
        assert _ask(loaded, state).tolist() == _ask(model, state).tolist()
    assert model.people
    assert not loaded.people
    assert loaded.recipe == model.recipe


def test_fresh_item_features_make_a_new_model_and_leave_the_old(model: HybridModel) -> None:
    table = ItemTable.build(toy.catalog(), toy.events(toy.interactions()).head(5), NOW)
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
    cases = newer_cases(older, newer, recipe=RECIPE, seed=0)
    assert (cases.histories.now >= cut).all()
    assert (np.diff(cases.histories.now) >= 0).all()
    for row in range(len(cases)):
        start, end = cases.histories.indptr[row], cases.histories.indptr[row + 1]
        assert (cases.histories.times[start:end] < cases.histories.now[row]).all()


def test_where_seen_items_are_never_answered_only_first_touches_are_cases() -> None:
    data = toy.interactions()  # the ring is walked four times: nothing is new in the last third
    cut = float(np.quantile(data.times, 0.7))
    older, newer = data.before(cut), data.where(data.times >= cut)
    assert len(newer_cases(older, newer, recipe=replace(RECIPE, exclude_seen=True), seed=0)) == 0


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
    assert recalls["union"] == pytest.approx(1.0)  # 10 of 13 items hold the shelf


def test_the_model_holds_the_ranker_that_was_trained(model: HybridModel) -> None:
    untrained = Ranker.of_sources(len(model.source_names), input_sizes(len(model.source_names)))
    assert not np.allclose(model.ranker.blend, untrained.blend)
    found = model.shortlist(model.history_of(_state(0, 1), now=NOW))
    plain, _ = model.score(found, _state(0, 1), now=NOW)
    morning, _ = model.score(found, _state(0, 1), now=NOW + 40_000.0)
    assert not np.allclose(plain, morning)  # the correction reads profile and clock


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
            ReplayProfiles(log, toy.catalog()),
            log,
            RECIPE,
            on_progress=prune,
        )


def test_few_events_still_give_a_model_that_answers() -> None:
    data = toy.interactions(users=2, events=4)
    log = toy.events(data)
    small = fit_hybrid(
        data, toy.catalog(), toy.people(2), ReplayProfiles(log, toy.catalog()), log, RECIPE
    ).model
    assert len(_ask(small, _state(0))) > 0


def test_the_history_of_a_case_ends_before_its_basket() -> None:
    times = toy.START + np.array([0.0, 0.0, 60.0, 60.0, 60.0, 120.0])
    world = Interactions.of(
        users=np.zeros(6, int),
        items=np.array([0, 1, 2, 3, 4, 5]),
        times=times,
        user_ids=np.array(["ann"], dtype=object),
        item_count=toy.ITEMS,
    )
    older, newer = world.before(toy.START + 30), world.where(world.times >= toy.START + 30)
    baskets = newer_cases(older, newer, recipe=Recipe(baskets=True), seed=0)
    assert [baskets.histories.seen(i).tolist() for i in range(4)] == [[0, 1], [0, 1], [0, 1], [0, 1, 2, 3, 4]]
    in_order = newer_cases(older, newer, recipe=Recipe(), seed=0)
    assert [len(in_order.histories.seen(i)) for i in range(4)] == [2, 3, 4, 5]
