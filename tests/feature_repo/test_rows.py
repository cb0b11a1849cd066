"""Packed rows: what comes back is what went in, whichever of Feast's doors it came through; damage is noticed."""

from datetime import UTC, datetime

import numpy as np
import pytest
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.config import repo_config
from feature_repo.definitions import USER_KEY
from feature_repo.rows import DamagedRowError, RowCodec, name_key, name_of
from feature_repo.store import FeatureStoreRoom
from feature_repo.values import entity_key, row_key, to_values
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.settings import Settings
from tests.features.toy import FACTS, NOON, event

FIELDS = (
    ("count", ValueType.INT64),
    ("share", ValueType.DOUBLE),
    ("name", ValueType.STRING),
    ("raw", ValueType.BYTES),
    ("sums", ValueType.DOUBLE_LIST),
    ("keys", ValueType.INT64_LIST),
)
LONG = st.integers(-(2**63), 2**63 - 1)
ROWS = st.fixed_dictionaries(
    {
        "count": st.none() | LONG,
        "share": st.none() | st.floats(),
        "name": st.none() | st.text(),
        "raw": st.none() | st.binary(),
        "sums": st.none() | st.lists(st.floats()).map(np.array),
        "keys": st.none() | st.lists(LONG).map(lambda keys: np.array(keys, np.int64)),
    }
)


@given(row=ROWS)
def test_what_is_packed_comes_back(row) -> None:
    again = RowCodec(FIELDS).unpack(RowCodec(FIELDS).pack(row))
    assert list(again) == [name for name, _ in FIELDS]
    for name, value in row.items():
        if value is None:
            assert again[name] is None
        else:
            np.testing.assert_array_equal(again[name], value)


@given(row=ROWS, data=st.data())
def test_a_changed_or_cut_row_is_noticed(row, data) -> None:
    blob = bytearray(RowCodec(FIELDS).pack(row))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedRowError, match="checksum"):
        RowCodec(FIELDS).unpack(bytes(blob))
    with pytest.raises(DamagedRowError, match="checksum"):
        RowCodec(FIELDS).unpack(bytes(blob[:place]))


@pytest.mark.parametrize("name", ["", "user:ann", "anon:ü€", "x" * 999])
def test_a_row_has_the_key_that_feast_gives_it(settings: Settings, name: str) -> None:
    key = name_key(USER_KEY, name)
    assert key == row_key(repo_config(settings), entity_key(USER_KEY, name))
    assert name_of(USER_KEY, key) == name


def test_both_doors_of_the_store_write_and_read_the_same_row(room: FeatureStoreRoom) -> None:
    view = room.definitions.user_profile
    state = fold(UserState.empty("ann"), [event("1", "view", "kettle", NOON)], FACTS)
    twin = fold(UserState.empty("ben"), [event("1", "view", "kettle", NOON)], FACTS)
    at = datetime.fromtimestamp(NOON, UTC)
    room.online_write([state])
    values = to_values(twin.to_row(), view)
    room.online.online_write_batch(room.config, view, [(entity_key(USER_KEY, "ben"), values, at, None)], None)
    ours, _ = room.online.read_rows(room.config, view, [name_key(USER_KEY, name) for name in ("ann", "ben")])
    feasts = room.online.online_read(
        room.config, view, [entity_key(USER_KEY, name) for name in ("ann", "ben")]
    )
    assert ours[0] is not None
    for name, value in ours[0].items():
        np.testing.assert_array_equal(ours[1][name], value)
    assert feasts[0][1] == feasts[1][1] == values
    assert feasts[0][0] == at
    only = room.online.online_read(room.config, view, [entity_key(USER_KEY, "ann")], ["total"])
    assert list(only[0][1]) == ["total"]
