"""A version that goes on: what it knew it knows, what is new it learns, and its twin never saw what it is asked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from registry.versions.forgetting import reading_of
from registry.versions.versions import Registry
from serving.privacy.erasures import open_erasing
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Interactions
from tailorbird.models.hybrid.fit import Progress
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.sequence.retriever import Sequence, with_history
from tailorbird.settings import Settings
from tests.training.retrain.world import BY_GATES, go_on, with_champion
from tests.training.toy import NOW, RECIPE, trained
from training.data.training_set import training_set
from training.fit.going_on import go_on as goes_on
from training.fit.plan import Plan
from training.fit.train import GOES_ON, WENT_ON, train
from training.retrain.parent import parent_of

NETWORK = RECIPE.override(
    {
        "sources": ["cooccurrence", "sequence", "content", "popularity"],
        "sequence.epochs": 2,
        "sequence.history": 8,
        "ranker.cases": 300,
    }
)
pytestmark = pytest.mark.slow


def silent(news: Progress) -> None:
    """Nobody listens."""


def sequence_of(model: HybridModel) -> Sequence:
    found = model.retrievers["sequence"]
    assert isinstance(found, Sequence)
    return found


@pytest.fixture
def gone_on(own_toy: Settings) -> tuple[Settings, HybridModel]:
    """A workspace with newer events and an item that is new, and the model of before."""
    parent = trained(own_toy, NETWORK).open().model
    items = Catalog.read(own_toy.catalog_folder).items
    new = pd.concat([items, items[:1].assign(item_id="tea-new", title="tea number new")], ignore_index=True)
    Catalog.from_frame(new.sample(frac=1, random_state=0)).write(own_toy.catalog_folder)
    go_on(own_toy)
    return own_toy, parent


def test_the_network_moves_to_another_catalogue_and_knows_what_it_knew(
    gone_on: tuple[Settings, HybridModel],
) -> None:
    settings, parent = gone_on
    catalog = Catalog.read(settings.catalog_folder)
    assert parent.text_space is not None
    texts = parent.text_space.vectors(catalog.texts)
    rows = parent.catalog.rows(catalog.item_ids)
    moved = sequence_of(parent).moved(rows, texts, seed=0, on_epoch=None)
    nothing = Interactions.of(
        users=np.zeros(0, np.int32),
        items=np.zeros(0, np.int32),
        times=np.zeros(0),
        weights=np.zeros(0, np.float32),
        user_ids=np.array(["a"], object),
        item_count=len(catalog),
        received=np.zeros(0),
    )
    vectors = np.array(moved.refit(nothing).index.vectors)
    before = np.array(sequence_of(parent).index.vectors)
    new = catalog.row_of["tea-new"]
    assert rows[new] == -1
    known = rows >= 0
    np.testing.assert_allclose(vectors[known], before[rows[known]], atol=1e-5)
    project = sequence_of(parent)._network().project.detach().numpy()
    np.testing.assert_allclose(vectors[new], texts[new] @ project, atol=1e-5)


def test_the_twin_never_saw_what_it_is_asked_and_the_parent_stays(
    gone_on: tuple[Settings, HybridModel],
) -> None:
    settings, parent = gone_on
    learned = parent.items_at - 1e-6
    dataset = training_set(settings)
    plan = Plan.of(dataset, NETWORK, settings=settings, seed=0, learned=learned)
    test = plan.protocol.test
    assert test.until > learned
    assert (test.cases.now > test.until).all()
    before = np.array(sequence_of(parent).index.vectors)
    early = dataset.events.where(dataset.events.times <= test.until * 1e6)
    blind = replace(plan, dataset=replace(dataset, events=early))
    twins = [goes_on(each, test, parent, on_progress=silent).model for each in (plan, blind)]
    np.testing.assert_array_equal(sequence_of(parent).index.vectors, before)
    seen, unseen = (
        {
            "network": np.array(sequence_of(each).index.vectors),
            "popularity": each.popularity.table if each.popularity else None,
            "items": each.item_features.rows(np.arange(len(each.catalog))),
            **{f"ranker.{name}": value for name, value in each.ranker.weights.items()},
        }
        for each in twins
    )
    for name, value in seen.items():
        np.testing.assert_array_equal(value, unseen[name], err_msg=name)
    rows = parent.catalog.rows(dataset.catalog.item_ids)
    moved = np.abs(seen["network"][rows >= 0] - before[rows[rows >= 0]]).max()
    assert moved > 1e-4  # it has learned


def test_what_is_learned_is_what_is_newer_with_the_history_before_it() -> None:
    times = np.array([1.0, 2, 3, 4, 5, 1, 2, 3, 1, 9])
    given = Interactions.of(
        users=np.array([0] * 5 + [1] * 3 + [2] * 2, np.int32),
        items=np.arange(10, dtype=np.int32),
        times=times,
        weights=np.ones(10, np.float32),
        user_ids=np.array(["a", "b", "c"], object),
        item_count=10,
        received=times,
    )
    assert with_history(given, since=3.5, length=2).items.tolist() == [1, 2, 3, 4, 8, 9]
    assert len(with_history(given, since=9.0, length=2)) == 0


def test_a_chain_of_versions_says_from_which_and_what_stands_against_it(own_toy: Settings) -> None:
    with_champion(own_toy)
    registry = Registry(own_toy)
    first = registry.version(1)
    few = parent_of(registry, first, training_set(own_toy), order=BY_GATES, pinned=None)
    assert few == (
        None,
        "0 events are newer, 200 are needed to tell whether what goes on is any good",
    )
    go_on(own_toy)
    dataset = training_set(own_toy)
    parent, why = parent_of(registry, first, dataset, order=BY_GATES, pinned=None)
    assert (parent is not None, why) == (True, "")
    made = train(dataset, RECIPE, settings=own_toy, seed=0, now=NOW, parent=parent).registered
    assert (made.tags[GOES_ON], made.tags[WENT_ON]) == ("1", "1")
    assert reading_of(registry, made).learned == pytest.approx(reading_of(registry, first).learned)
    whys = [
        parent_of(registry, first, dataset, order=replace(BY_GATES, **given), pinned=None)[1]
        for given in ({"full": True}, {"warm": 0})
    ]
    assert whys == ["as was asked", "0 versions went on from each other"]
    erasing = open_erasing(own_toy)
    erasing.ask("user:u3")
    erasing.run()
    _, why = parent_of(registry, first, training_set(own_toy), order=BY_GATES, pinned=None)
    assert why == "the champion has learned from people who were erased since"
