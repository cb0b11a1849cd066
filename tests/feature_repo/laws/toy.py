"""What the laws of the online store share: batches of the log, rows as they must be, and a row that is spoilt."""

from collections.abc import Sequence

import numpy as np

from feature_repo.definitions import ITEM_KEY, USER_KEY
from feature_repo.online.database import Packed
from feature_repo.rows import name_key
from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.settings import Settings
from tailorbird.streams.scan import read_log
from tailorbird.streams.stream import Entry, Stream
from tests.features.toy import item_table


def entries(log: Stream[Event], events: list[Event]) -> Sequence[Entry[Event]]:
    appended = log.append(events)
    return appended.entries


def assert_live(settings: Settings, room: FeatureStoreRoom, catalog: Catalog) -> None:
    """The online rows are what the log says."""
    frame = read_log(settings)
    users = sorted(set(frame["user_key"]))
    expected = ReplayProfiles.of_frame(frame, catalog).states_at(users, np.full(len(users), 9e9))
    for state, wanted in zip(room.online_read(users), expected, strict=True):
        assert state.total == wanted.total
        assert state.history.tobytes() == wanted.history.tobytes()
        np.testing.assert_allclose(state.sums, wanted.sums, atol=1e-6)
    table = item_table(catalog, frame, 9e9)
    assert room.item_table(catalog).totals.tolist() == table.totals.tolist()
    np.testing.assert_allclose(room.item_table(catalog).sums, table.sums, atol=1e-6)


def spoil(room: FeatureStoreRoom, *, user: str = "", item: str = "") -> None:
    """Flip one bit in the middle of a stored row; its times and the number of its write stay."""
    view, key = (
        ("user_profile", name_key(USER_KEY, user)) if user else ("item_profile", name_key(ITEM_KEY, item))
    )
    with room.online.tables(room.config) as tables:
        name, database = tables.name(view), tables.database
        (row,) = database.read(name, [key]).values()
        number = database.newest(name, [key])
        spoilt = bytearray(row.blob)
        spoilt[len(spoilt) // 2] ^= 4
        database.delete(name, [key])
        database.write(name, [Packed(*row[:3], bytes(spoilt))], number=number)
