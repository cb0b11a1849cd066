"""The hybrid: asked alone and together, by those it knows and those it does not."""

from pathlib import Path

import numpy as np

from tailorbird.events.columns import EventColumns
from tailorbird.features.demographics import Demographics
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.retrievers.content import Content
from tailorbird.slate.query import Query
from tests.models import toy
from tests.models.hybrid.asking import NOW, ask, profile_of


def test_the_next_item_of_the_ring_comes_first(model: HybridModel) -> None:
    assert ask(model, profile_of(0, 1, 2))[0] == 3
    assert ask(model, profile_of(9, 10))[0] == 11


def test_queries_together_are_answered_as_each_alone(model: HybridModel) -> None:
    served = recommender_of(model)
    queries = [
        Query(state, NOW, k=5)
        for state in (profile_of(0, 1), profile_of(7), profile_of(), profile_of(1, 1, 2))
    ]
    together = served.recommend_many(queries)
    for query, slate in zip(queries, together, strict=True):
        alone = [model.catalog.item_ids[row] for row in ask(model, query.state)[:5]]
        assert [item.item_id for item in slate.items] == alone


def test_excluded_items_are_never_proposed(model: HybridModel) -> None:
    exclude = np.array([3, 4, 5])
    assert not np.isin(ask(model, profile_of(0, 1, 2), exclude=exclude), exclude).any()


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
    found = model.shortlist(model.history_of(profile_of(6, 7, 8), now=NOW), k=13)
    place = found.rows.tolist().index(toy.COLD)
    assert found.ranks[place, content] >= 0


def test_a_page_counts_as_the_newest_event(model: HybridModel) -> None:
    history = model.history_of(profile_of(0, 1), now=NOW, item_row=8)
    assert history.items.tolist() == [0, 1, 8]
    assert history.times[-1] == NOW


def test_a_callers_list_is_scored_though_nobody_proposed_it(model: HybridModel) -> None:
    state = profile_of(0, 1, 2)
    given = model.signals(model.history_of(state, now=NOW), np.array([8, 3, 0]))
    scores, _ = model.score(given, state, now=NOW)
    assert given.rows.tolist() == [8, 3, 0]
    assert np.argmax(scores) == 1


def test_similar_items_are_of_the_same_shelf(model: HybridModel) -> None:
    rows, scores = model.similar(2, 4)
    assert len(rows) == 4
    assert 2 not in rows
    assert (rows < toy.SHELF).all()
    assert (np.diff(scores) <= 0).all()


def test_what_everybody_takes_goes_with_nothing_in_particular(model: HybridModel) -> None:
    alone = HybridModel(
        catalog=model.catalog,
        retrievers={"popularity": model.retrievers["popularity"]},
        ranker=model.ranker,
        item_table=model.item_table,
        items_at=model.items_at,
        recipe=model.recipe,
    )
    assert [len(each) for each in alone.similar(2, 4)] == [0, 0]


def test_more_than_the_catalogue_and_nothing_at_all(model: HybridModel) -> None:
    state = profile_of(0, 1)
    assert len(ask(model, state, k=1000)) <= toy.ITEMS
    assert len(ask(model, state, k=0)) == 0
    assert len(ask(model, state, exclude=np.arange(toy.ITEMS))) == 0
    assert recommender_of(model).recommend_many([]) == []


def test_saved_and_loaded_answers_the_same(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    for state in (profile_of(0, 1, 2), profile_of(), profile_of(7, 8)):
        assert ask(loaded, state).tolist() == ask(model, state).tolist()
    assert loaded.recipe == model.recipe


def test_fresh_item_features_make_a_new_model_and_leave_the_old(model: HybridModel) -> None:
    table = ItemTable.build(toy.catalog(), EventColumns.of_frame(toy.events(toy.interactions()).head(5)), NOW)
    state = profile_of(0, 1)
    before = ask(model, state)
    fresh = model.with_items(table, now=NOW)
    assert fresh.item_table is table
    assert model.item_table is not table
    assert ask(model, state).tolist() == before.tolist()


def test_a_bundle_keeps_the_space_in_which_texts_to_come_will_lie(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    space = HybridModel.load(tmp_path).text_space
    assert space is not None
    content = model.retrievers["content"]
    assert isinstance(content, Content)
    np.testing.assert_allclose(space.vectors(toy.catalog().texts), content.index.vectors, atol=1e-5)
