"""Counts made anew without some people are those of a rebuild that never saw them; without nobody they are what they were."""

import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import USER
from tailorbird.features.demographics import segments_of
from tailorbird.features.items.items import ItemTable
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.slates import input_sizes
from tailorbird.models.ranker.ranker import Ranker
from tailorbird.models.retrievers.cooccurrence import Cooccurrence
from tailorbird.models.retrievers.habit import Habit
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.recipes.recipe import Recipe
from tailorbird.settings import load_settings
from training.data.dataset import Dataset, interactions_of
from training.fit.counted import counted_anew, learned_parts, seen_by
from training.fit.going_on import extended

ITEMS, PEOPLE = 8, 7
RECIPE = Recipe.of(
    {
        "name": "counts",
        "sources": ["cooccurrence", "popularity", "habit"],
        "popularity": {"segment_events": 4},
        "cooccurrence": {"ease_items": 6, "neighbours": 5},
    }
)
CATALOG = Catalog.from_frame(
    pd.DataFrame({"item_id": [f"i{n}" for n in range(ITEMS)], "price": np.arange(1.0, ITEMS + 1)})
)
USERS = Users.from_frame(
    pd.DataFrame(
        {"user_id": [f"u{n}" for n in range(PEOPLE)], "age": [20.0 + 20 * (n % 2) for n in range(PEOPLE)]}
    )
)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LAST = 400

deeds = st.lists(
    st.tuples(st.integers(0, PEOPLE - 1), st.integers(0, ITEMS - 1), st.integers(0, LAST)),
    min_size=4,
    max_size=60,
)


def dataset_of(rows: list[tuple[int, int, int]]) -> Dataset:
    """One click an hour: who, on what, in which hour."""
    hours = pd.to_timedelta([hour for _, _, hour in rows], unit="h")
    events = EventColumns.of_frame(
        pd.DataFrame(
            {
                "message_id": [f"m{n}" for n in range(len(rows))],
                "type": "click",
                "user_key": [f"{USER}u{person}" for person, _, _ in rows],
                "item_id": [f"i{item}" for _, item, _ in rows],
                "value": np.nan,
                "event_time": START + hours,
                "received_time": START + hours,
            }
        )
    )
    return Dataset("toy", "", CATALOG, USERS, events, interactions_of(events, CATALOG))


def rebuilt(dataset: Dataset) -> HybridModel:
    """What a training on this data counts."""
    popularity = Popularity(
        RECIPE.popularity, user_segments=segments_of(USERS, dataset.interactions.user_ids)
    )
    blank = HybridModel(
        catalog=CATALOG,
        retrievers={
            "cooccurrence": Cooccurrence(RECIPE.cooccurrence),
            "popularity": popularity,
            "habit": Habit(RECIPE.habit),
        },
        ranker=Ranker.of_sources(3, input_sizes(3, segments=False)),
        item_table=ItemTable.build(CATALOG, dataset.events, 0.0),
        items_at=0.0,
        recipe=RECIPE.resolved,
    )
    return extended(blank, dataset)


def counts_of(model: HybridModel) -> dict[str, object]:
    popularity, habit = model.popularity, model.retrievers["habit"]
    links = model.retrievers["cooccurrence"]._links.toarray()
    counters = model.item_table.counters
    return {
        "popularity": np.asarray(popularity.table),
        "lists": np.concatenate(popularity._lists),
        "links": links,
        "habit": habit.repeated,
        "totals": counters.totals,
        "sums": counters.sums,
    }


def assert_equal(found: HybridModel, wanted: HybridModel) -> None:
    assert found.popularity.segments == wanted.popularity.segments
    ours, theirs = counts_of(found), counts_of(wanted)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-6, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(rows=deeds, gone=st.sets(st.integers(0, PEOPLE - 1), max_size=4))
def test_forgetting_people_is_a_rebuild_that_never_saw_them(rows, gone) -> None:
    rows = [*rows, (PEOPLE - 1, 0, LAST), (PEOPLE - 1, 1, LAST)]  # somebody who stays
    gone -= {PEOPLE - 1}
    everybody = dataset_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        rebuilt(everybody).save(Path(folder))
        model = HybridModel.load(Path(folder))
        kept = dataset_of([row for row in rows if row[0] not in gone])
        until = START.timestamp() + LAST * 3600.0
        forgot = counted_anew(model, seen_by(model, kept, until=until, settings=load_settings()))
        erased = [f"{USER}u{person}" for person in gone]
        stay = ~np.isin(everybody.events.user_keys[everybody.events.users], erased)
        interactions = everybody.interactions
        mask = ~np.isin(interactions.user_ids[interactions.users], erased)
        wanted = rebuilt(
            Dataset("toy", "", CATALOG, USERS, everybody.events.where(stay), interactions.where(mask))
        )
        assert_equal(forgot, wanted)


def test_what_came_after_the_training_is_not_counted() -> None:
    rows = [(person, item, hour) for person in range(4) for item, hour in ((0, 1), (1, 2), (2, 9))]
    model = rebuilt(dataset_of(rows))
    later = dataset_of([*rows, (5, 3, LAST), (5, 4, LAST)])
    until = START.timestamp() + 9 * 3600.0
    same = counted_anew(model, seen_by(model, later, until=until, settings=load_settings()))
    assert_equal(same, model)
    assert learned_parts(model) == []
