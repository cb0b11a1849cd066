"""What an exposure says of a slate is what the slate was."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.exposures.codec import exposures_of, pack, table_of, unpack
from tailorbird.exposures.exposure import LIST
from tailorbird.exposures.record import exposure_of
from tests.slate import toy

ANN = {"user_id": "ann", "anonymous_id": None, "session_id": "s", "scenario": "home", "arm": "champion"}


STAGES = toy.RowStages()


def recorded(stages=STAGES, *acts, **wishes):
    query = toy.query(*acts, **wishes)
    slate = toy.recommender(stages).recommend(query)
    return slate, exposure_of(slate, query, recommendation_id="r1", item_ids=toy.CATALOG.item_ids, **ANN)


def test_items_scores_and_sources_stand_place_by_place():
    slate, exposure = recorded(k=4)
    assert exposure.items == ("i0", "i1", "i2", "i4")
    assert list(exposure.positions) == [0, 1, 2, 3]
    assert exposure.scores.tolist() == [item.score for item in slate.items]
    assert exposure.source_names == ("first", "second")
    assert exposure.ranks.tolist() == [[0, 0], [1, -1], [2, 1], [4, 2]]
    assert (exposure.arm, exposure.model_version, exposure.user_key) == ("champion", "1", "user:ann")
    assert unpack(pack(exposure)) == exposure


def test_later_pages_go_on_counting():
    _, exposure = recorded(shown=("i0", "i1"), k=2)
    assert list(exposure.positions) == [2, 3]


def test_lists_that_fill_a_page_are_told_from_retrievers():
    _, exposure = recorded(toy.RowStages(reach=2), k=5)
    assert exposure.source_names == ("first", "second", LIST + "popularity", LIST + "editorial")
    assert exposure.ranks.tolist() == [
        [0, 0, -1, -1], [1, -1, -1, -1], [-1, -1, 0, -1], [-1, -1, 1, -1], [-1, -1, -1, 0]
    ]  # fmt: skip


def test_without_a_model_everything_comes_from_lists():
    _, exposure = recorded(None, k=3)
    assert exposure.source_names == (LIST + "popularity", LIST + "editorial")
    assert (exposure.fallback, exposure.user_vector.size, exposure.model_version) == ("popularity", 0, "")


def test_rules_are_counted_and_only_explanations_name_the_items():
    _, plain = recorded(toy.RowStages(), ("view", "i0"), ("hide", "i1"), k=2)
    assert plain.removed == {"seen": 1, "hidden": 1, "out_of_stock": 1}
    assert plain.removed_items == {}
    _, explained = recorded(toy.RowStages(), ("view", "i0"), ("hide", "i1"), k=2, explain=True)
    assert explained.removed_items == {"seen": ("i0",), "hidden": ("i1",), "out_of_stock": ("i3",)}


def test_what_the_ranking_depended_on_is_kept_where_it_is_unusual():
    from tailorbird.slate.query import Rules

    _, exposure = recorded(k=2, item_id="i5", rules=Rules(categories=("tea",), max_price=3.0))
    assert exposure.request == {"k": 2, "itemId": "i5", "categories": ["tea"], "maxPrice": 3.0}
    _, usual = recorded(k=2)
    assert usual.request == {"k": 2}


def test_numbers_are_whole_until_the_archive_rounds_them():
    _, exposure = recorded(k=3)
    vector = np.array([0.123456789, 14.98765, 0.0], np.float32)
    z_scores = np.full(exposure.ranks.shape, 1.2345, np.float16)
    exposure = replace(exposure, user_vector=vector, z_scores=z_scores)
    assert unpack(pack(exposure)) == exposure
    (archived,) = exposures_of(table_of([exposure]))
    assert archived != exposure
    assert archived.user_vector == pytest.approx(vector, rel=2**-11)
    assert archived.z_scores == pytest.approx(z_scores, abs=1 / 64)
    assert archived.ranks.tolist() == exposure.ranks.tolist()
    assert exposures_of(table_of([archived])) == [archived]
