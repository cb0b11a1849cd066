"""A hybrid that takes new items: they are found by their words, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable
from tailorbird.features.table import ITEM_FEATURES
from tailorbird.models.hybrid.model import HybridModel
from tests.models import toy
from tests.models.hybrid.asking import NOW, profile_of

NEW = toy.ITEMS
TOLD = pd.DataFrame(
    [
        {
            "item_id": "rope",
            "text": "tent rope hiking mountain",
            "categories": "outdoor",
            "price": 12.5,
            "brand": "x",
        },
        {"item_id": "cello", "text": "piano violin music concert", "categories": "music", "stock": 0.0},
        {"item_id": "mute", "text": "zzz", "price": 3.0},
    ]
)


def grown_by(model: HybridModel, told: pd.DataFrame) -> HybridModel:
    items = Catalog.from_frame(told)
    new = items.items[model.catalog.rows(items.item_ids) < 0].reset_index(drop=True)
    return model.grown(items, GrownCatalog.of(model.catalog, Catalog(new)))


@pytest.fixture(scope="module")
def grown(model: HybridModel) -> HybridModel:
    model.score(model.shortlist(model.history_of(profile_of(0), now=NOW)), profile_of(0), now=NOW)
    return grown_by(model, TOLD)


def test_a_new_item_is_proposed_by_content_and_by_the_network(grown: HybridModel) -> None:
    found = grown.shortlist(grown.history_of(profile_of(0, 1, 2), now=NOW), k=16)
    place = found.rows.tolist().index(NEW)
    for name in ("content", "sequence"):
        assert found.ranks[place, grown.source_names.index(name)] >= 0
    for name in ("cooccurrence", "popularity"):
        assert found.ranks[place, grown.source_names.index(name)] == -1


def test_words_alone_decide_as_for_an_item_without_events_in_training(grown: HybridModel) -> None:
    known, new = toy.COLD, NEW + 1  # both say the same, but for a title
    content = grown.retrievers["content"]
    (asked,) = content.ask([grown.history_of(profile_of(6, 7), now=NOW)])
    scores = asked.score(np.array([known, new, NEW]))
    assert abs(scores[0] - scores[1]) < 0.3
    assert scores[1] > scores[2] + 0.5


def test_known_items_are_answered_as_before(model: HybridModel, grown: HybridModel) -> None:
    state, rows = profile_of(0, 1, 2), np.arange(toy.ITEMS)
    for each, other in (
        (
            model.signals(model.history_of(state, now=NOW), rows),
            grown.signals(grown.history_of(state, now=NOW), rows),
        ),
    ):
        np.testing.assert_allclose(each.signals, other.signals, atol=1e-5)
    np.testing.assert_array_equal(model.item_features.rows(rows), grown.item_features.rows(rows))


def test_an_event_on_a_new_item_speaks_for_its_kind(grown: HybridModel) -> None:
    facts_of = {"rope": NEW, "cello": NEW + 1}
    for item, row in facts_of.items():
        history = grown.history_of(profile_of(), now=NOW, item_row=row)
        assert history.items.tolist() == [row], item
        found = grown.shortlist(history, k=4)
        assert np.isfinite(found.signals).all()
    similar, _ = grown.similar(NEW, 4)
    assert (similar < toy.SHELF).all()
    assert not np.isin(NEW, similar)


def test_new_items_are_scored_by_the_ranker(grown: HybridModel) -> None:
    rows = np.array([NEW, 3, NEW + 2])
    state = profile_of(0, 1, 2)
    scores, _ = grown.score(grown.signals(grown.history_of(state, now=NOW), rows), state, now=NOW)
    assert np.isfinite(scores).all()


def test_the_features_of_new_items_are_nearly_those_of_a_table_made_of_all(grown: HybridModel) -> None:
    items = pd.concat([toy.catalog().items, Catalog.from_frame(TOLD).items], ignore_index=True)
    whole = ItemTable.of(Catalog(items), ItemCounters.empty(len(items)))
    rows = np.array([NEW, NEW + 2])
    np.testing.assert_array_equal(grown.item_table.filled_prices[rows], whole.filled_prices[rows])
    np.testing.assert_allclose(grown.item_table.static[rows, :5], whole.static[rows, :5], atol=0.1)
    np.testing.assert_array_equal(
        grown.item_table.buckets[grown.item_table.primary[rows]], whole.buckets[whole.primary[rows]]
    )


def test_a_new_item_is_new_whenever_it_was_launched(grown: HybridModel) -> None:
    features = grown.item_features.rows(np.array([NEW, 0]))
    assert features[:, ITEM_FEATURES.index("is_new")].tolist() == [1, 0]
    assert features[0, ITEM_FEATURES.index("age")] == 0


def test_items_come_again_and_again_and_are_all_there(model: HybridModel) -> None:
    step = model
    for number in range(5):
        step = grown_by(step, TOLD.assign(item_id=TOLD["item_id"] + str(number)))
    assert len(step.catalog) == toy.ITEMS + 15
    assert step.catalog.row_of["rope4"] == toy.ITEMS + 12
    assert step.catalog.items["item_id"].tolist() == step.catalog.item_ids.tolist()
    assert step.item_table.rows_of_keys(step.item_table.keys).tolist() == list(range(toy.ITEMS + 15))
    found = step.shortlist(step.history_of(profile_of(0, 1, 2), now=NOW), k=40)
    assert {NEW + 3 * number for number in range(5)} <= set(found.rows.tolist())


def test_a_known_item_with_a_new_text_is_found_by_that(model: HybridModel, grown: HybridModel) -> None:
    told = pd.DataFrame([{"item_id": "item-0", "text": "piano violin music concert", "categories": "music"}])
    again = grown_by(grown, told)
    assert len(again.catalog) == len(grown.catalog)
    for each, shelf in ((grown, 1), (again, 7)):
        (asked,) = each.retrievers["content"].ask([each.history_of(profile_of(shelf), now=NOW)])
        assert asked.score(np.array([0]))[0] > 0.5


def test_without_a_text_space_new_items_have_no_source_and_nothing_breaks(model: HybridModel) -> None:
    old = HybridModel(
        catalog=model.catalog,
        retrievers=model.retrievers,
        ranker=model.ranker,
        item_table=model.item_table,
        items_at=model.items_at,
        recipe=model.recipe,
        shares=model.shares,
    )
    grown = grown_by(old, TOLD)
    found = grown.shortlist(grown.history_of(profile_of(0, 1, 2), now=NOW), k=30)
    assert (found.rows < NEW).all()
    state, rows = profile_of(0), np.array([NEW, 3])
    scores, _ = grown.score(grown.signals(grown.history_of(state, now=NOW), rows), state, now=NOW)
    assert np.isfinite(scores).all()


def test_fresh_item_features_reach_new_items(grown: HybridModel) -> None:
    counters = ItemCounters.empty(len(grown.catalog))
    counters.totals[NEW] = 5
    fresh = grown.with_items(grown.item_table.with_counters(counters), now=NOW)
    assert fresh.item_table.totals[NEW] == 5
    assert len(fresh.catalog) == len(grown.catalog)
    assert fresh.shortlist(fresh.history_of(profile_of(0, 1, 2), now=NOW), k=16).rows.tolist().count(NEW) == 1
