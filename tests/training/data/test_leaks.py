"""Nothing of the future is in a training row: no feature changes when records are added that were received after its instant."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.command import build_features
from feature_repo.past_profiles import FeastProfiles
from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.patches import patched_items, write_patched
from tailorbird.evaluation.cases import Cases
from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import Event
from tailorbird.features.items.items import ItemTable
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.vectors.cross import cross_matrix
from tailorbird.features.vectors.item import item_matrix
from tailorbird.features.vectors.user import user_vector
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_events
from tests.features.toy import CATALOG, DAY, NOON, TYPES, frame
from tests.proving import tries
from training.data.dataset import interactions_of

ITEMS = [str(item) for item in CATALOG.item_ids]
INSTANT = NOON + 5 * DAY

happenings = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(TYPES),
        st.sampled_from([*ITEMS, "gone"]),
        st.integers(0, 10 * 86_400),  # when, seconds after NOON
        st.one_of(st.just(0), st.integers(0, 8 * 86_400)),  # how much later we heard of it
        st.one_of(st.none(), st.floats(-5, 5, width=16)),
    ),
    max_size=14,
)
prices = st.lists(
    st.tuples(st.sampled_from(ITEMS), st.floats(1, 500, width=16), st.integers(0, 10 * 86_400)), max_size=4
)


def events_of(made: list[tuple[str, str, str, int, int, float | None]]) -> list[Event]:
    return [
        Event(
            f"m{n}",
            kind,
            event_time=NOON + at,
            received_time=NOON + at + delay,
            user_id=user,
            item_id=item,
            value=value,
        )
        for n, (user, kind, item, at, delay, value) in enumerate(made)
    ]


def catalog_after(changes: list[tuple[str, float, int]], *, until: float) -> Catalog:
    """The catalogue and what it remembers, after the changes that had been made by ``until``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        CATALOG.write(folder)
        for item, price, at in sorted(changes, key=lambda change: change[2]):
            if NOON + at <= until:
                known = Catalog.read(folder)
                told = pd.DataFrame({"item_id": [item], "price": [price], "stock": [price // 2]})
                write_patched(known, patched_items(known, told), folder, now=NOON + at)
        return Catalog.read_with_history(folder)


def rows_of(events: list[Event], catalog: Catalog) -> list[np.ndarray]:
    """Everything that a training row at INSTANT is made of: user, items, cross features, and what evaluation reveals."""
    log = frame(events)
    columns = EventColumns.of_frame(log)
    table = ItemTable.build(catalog, columns, INSTANT)
    states = ReplayProfiles.of_frame(log, catalog).states_at(["user:ann", "user:bob"], np.full(2, INSTANT))
    found = [item_matrix(table, now=INSTANT), table.stock]
    for state in states:
        found += [user_vector(state, now=INSTANT), cross_matrix(state, table, np.arange(5), now=INSTANT)]
        found += [state.had, state.hidden, np.frombuffer(state.history.tobytes(), np.uint8)]
    known = interactions_of(columns, catalog)
    found.append(known.before(INSTANT).items)
    for user in ("user:ann", "user:bob"):
        where = np.flatnonzero(known.user_ids == user)
        if len(where):
            found.append(known.histories(where, np.full(1, INSTANT), length=99).items)
        else:
            found.append(np.zeros(0, np.int32))
    return found


@settings(max_examples=tries(40, 400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=happenings, changes=prices)
@pytest.mark.slow
def test_no_feature_knows_what_was_received_after_its_instant(
    made: list[tuple[str, str, str, int, int, float | None]], changes: list[tuple[str, float, int]]
) -> None:
    events = events_of(made)
    by_then = [event for event in events if event.received_time <= INSTANT]
    whole = rows_of(events, catalog_after(changes, until=np.inf))
    then = rows_of(by_then, catalog_after(changes, until=INSTANT))
    for one, other in zip(whole, then, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=tries(30, 200), deadline=None)
@given(made=happenings)
def test_no_case_reveals_what_was_received_after_it_was_asked(
    made: list[tuple[str, str, str, int, int, float | None]],
) -> None:
    events = [event for event in events_of(made) if event.item_id != "gone"]
    known = interactions_of(EventColumns.of_frame(frame(events)), CATALOG)
    cases = Cases.of_rows(known, np.arange(len(known)), exclude_seen=False)
    for length in (None, 2):
        histories = cases.histories(length=length)
        for row in range(len(known)):
            user, now = known.users[row], known.times[row]
            wanted = np.arange(known.indptr[user], row)
            wanted = wanted[known.heard[wanted] <= now]
            wanted = wanted if length is None else wanted[-length:]
            assert histories.seen(row).tolist() == known.items[wanted].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_rows_of_feast_do_not_change_when_the_future_arrives(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = [
        (
            ["ann", "bob"][rng.integers(2)],
            TYPES[rng.integers(len(TYPES))],
            ITEMS[rng.integers(5)],
            int(rng.integers(0, 10 * 86_400)),
            int(rng.integers(0, 8 * 86_400)) if rng.random() < 0.5 else 0,
            None,
        )
        for _ in range(80)
    ]
    events = events_of(made)
    home = load_settings(home=tmp_path, workspace="leaks")
    CATALOG.write(home.catalog_folder)
    # The last instant comes after everything: its rows need what those of the others must not know.
    asked, instants = ["user:ann", "user:bob"] * 5, np.repeat(NOON + DAY * np.array([1, 2, 3, 5, 40]), 2)
    with open_events(home) as log:
        log.append([event for event in events if event.received_time <= INSTANT])
        build_features(home)
        before = FeastProfiles(home).states_at(asked, instants)
        log.append([event for event in events if event.received_time > INSTANT])
        known = Catalog.read(home.catalog_folder)
        dear = patched_items(known, pd.DataFrame({"item_id": ITEMS, "price": [999.0] * 5}))
        write_patched(known, dear, home.catalog_folder, now=INSTANT + 1)
        build_features(home, force=True)
        after = FeastProfiles(home).states_at(asked, instants)
    assert sum(state.total for state in before) > 20
    assert after[-1].total > before[-1].total
    for one, other in zip(before[:-2], after[:-2], strict=True):
        assert one.history.tobytes() == other.history.tobytes()
        assert (one.total, one.last_seen) == (other.total, other.last_seen)
        np.testing.assert_allclose(one.sums, other.sums, rtol=0, atol=1e-9)
