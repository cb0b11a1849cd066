"""What stands against going on: refusals of what was learned, and history that was brought in late; and what late news does."""

import numpy as np
import pytest

from registry.versions.versions import Registry
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import CONSENT, Event
from tailorbird.features.consent.purposes import taken_back_in
from tailorbird.models.sequence.retriever import with_history
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import exposure
from tests.training.retrain.world import BY_GATES, go_on, with_champion
from tests.training.toy import NOW, POPULAR_ONLY, RECIPE, append, walks
from training.data.training_set import training_set
from training.fit.train import train
from training.retrain.due import Causes, standing_of
from training.retrain.parent import LEAST_NEWER, late_since, parent_of
from training.retrain.withdrawn import withdrawn

LATER = NOW.timestamp() + 86_400.0


def refuse(settings: Settings, person: str, *, at: float = LATER, purpose: str = "personalization") -> None:
    with open_events(settings) as stream:
        stream.append(
            [
                Event(
                    message_id=f"no-{person}-{purpose}-{at}",
                    type=CONSENT,
                    event_time=at,
                    received_time=at,
                    user_id=person,
                    context={"purposes": {purpose: purpose == "restriction"}},
                )
            ]
        )


def why_not(settings: Settings) -> str:
    registry = Registry(settings)
    champion = registry.version(1)
    return parent_of(registry, champion, training_set(settings), order=BY_GATES, pinned=None)[1]


@pytest.mark.slow
def test_a_line_ends_where_people_refuse_what_it_has_learned(own_toy: Settings) -> None:
    with_champion(own_toy, POPULAR_ONLY)
    go_on(own_toy)
    refuse(own_toy, "passer-by")
    refuse(own_toy, "u1", purpose="advertising")
    refuse(own_toy, "u201")  # came after the champion's data
    assert why_not(own_toy) == ""
    refuse(own_toy, "u1")
    assert why_not(own_toy) == "14 events and slates that it learned from may not be learned from any more"


def test_what_was_refused_before_or_is_restricted_or_was_a_slate_alone(own_toy: Settings) -> None:
    read = NOW.timestamp()
    assert withdrawn(own_toy, read) == 0
    refuse(own_toy, "u1", at=read - 3_600.0)
    assert withdrawn(own_toy, read) == 0
    refuse(own_toy, "u1", at=read + 5.0)  # once more
    assert withdrawn(own_toy, read) == 0
    refuse(own_toy, "u2", purpose="restriction")
    assert withdrawn(own_toy, read) == 14
    with open_exposures(own_toy) as stream:
        stream.append([exposure(1, user_id="shown", instant=read - 60.0)])
    refuse(own_toy, "shown")
    assert withdrawn(own_toy, read) == 15


def test_a_basis_that_was_taken_back_ends_the_line_too(own_toy: Settings) -> None:
    read = NOW.timestamp()
    assert withdrawn(own_toy, read) == 0
    (own_toy.folder / "privacy.toml").write_text("[taken_back]\npersonalization = 2026-04-30\n")
    events = 120 * 14
    assert withdrawn(own_toy, read) == events
    by_then = taken_back_in(own_toy, "personalization")
    assert withdrawn(own_toy, read, taken_back=by_then) == 0
    refuse(own_toy, "u1")  # had said yes to nothing
    assert withdrawn(own_toy, read, taken_back=by_then) == 0
    assert withdrawn(own_toy, read) == events


@pytest.mark.slow
def test_what_arrives_late_is_news_and_history_that_is_brought_in_ends_the_line(own_toy: Settings) -> None:
    with_champion(own_toy, POPULAR_ONLY)
    registry = Registry(own_toy)
    late = walks(
        10, days=1.0, seed=5, first=300
    )  # happened before the champion's data ended, arrived in spring
    late["event_time"] += np.timedelta64(35, "D")
    late["received_time"] = late["event_time"].max() + np.timedelta64(60, "D")
    append(own_toy, late)
    news = standing_of(own_toy, BY_GATES, Causes()).news
    assert news is not None
    assert news.events == 140
    go_on(own_toy)
    assert late_since(own_toy, registry.version(1)) == 0
    assert why_not(own_toy) == ""
    append(own_toy, walks(20, days=1.0, seed=6, first=400))
    assert late_since(own_toy, registry.version(1)) == 280 > LEAST_NEWER
    assert why_not(own_toy) == "280 events of before were brought in since"


def test_the_network_learns_what_arrived_later_whenever_it_happened() -> None:
    times = np.array([1.0, 2, 3, 4, 5, 1, 2, 3])
    received = np.array([1.0, 2, 3.9, 4, 5, 1, 2, 3])
    received[1] = 6.0
    given = Interactions.of(
        users=np.array([0] * 5 + [1] * 3, np.int32),
        items=np.arange(8, dtype=np.int32),
        times=times,
        weights=np.ones(8, np.float32),
        user_ids=np.array(["a", "b"], object),
        item_count=8,
        received=received,
    )
    assert with_history(given, since=5.5, length=1).items.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_version_that_went_on_is_none_that_was_trained_from_nothing(own_toy: Settings) -> None:
    with_champion(own_toy)
    go_on(own_toy)
    registry, dataset = Registry(own_toy), training_set(own_toy)
    parent, _ = parent_of(registry, registry.version(1), dataset, order=BY_GATES, pinned=None)
    warm = train(dataset, RECIPE, settings=own_toy, seed=0, now=NOW, parent=parent)
    assert not train(dataset, RECIPE, settings=own_toy, seed=0, now=NOW, anew=False).fresh
    anew = train(dataset, RECIPE, settings=own_toy, seed=0, now=NOW)
    assert anew.fresh
    assert anew.registered.version == warm.registered.version + 1
    assert not train(dataset, RECIPE, settings=own_toy, seed=0, now=NOW).fresh
