"""A workspace with the random shop in it."""

from collections.abc import Iterator

import pytest

from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.stream import Stream
from tests.features.toy import random_shop


@pytest.fixture(scope="session")
def shop() -> tuple[Catalog, list[Event]]:
    """60 items, 40 users, 2,500 events of a month in the order of their arrival."""
    return random_shop(users=40, items=60, events=2_500, days=30, seed=11)


@pytest.fixture
def room(settings: Settings, shop: tuple[Catalog, list[Event]]) -> FeatureStoreRoom:
    """An applied feature store beside the shop's catalogue, without any event."""
    shop[0].write(settings.catalog_folder)
    room = FeatureStoreRoom(settings)
    room.apply()
    return room


@pytest.fixture
def log(settings: Settings) -> Iterator[Stream[Event]]:
    """The workspace's empty event log."""
    with open_events(settings) as log:
        yield log
