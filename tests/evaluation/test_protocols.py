from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.protocols import (
    Split,
    global_time_split,
    leave_one_out,
    newest_sessions,
    retail,
    sessions,
)
from tailorbird.events.interactions import Interactions
from tests.evaluation.worlds import interactions, last_item_cases


def asked(cases: Cases) -> list[tuple[str, int]]:
    return list(zip(cases.user_ids.tolist(), cases.targets.tolist(), strict=True))


def history(cases: Cases, case: int) -> list[int]:
    return cases.histories().seen(cases.question[case]).tolist()


def test_loo_tests_the_last_with_the_last_but_one_in_the_history() -> None:
    world = interactions([[(0, 0), (1, 1), (2, 2), (3, 3)], [(4, 0), (5, 1)]], items=6)
    protocol = leave_one_out(world)
    assert asked(protocol.test.cases) == [("u0", 3)]
    assert history(protocol.test.cases, 0) == [0, 1, 2]
    assert asked(protocol.validation.cases) == [("u0", 2)]
    assert history(protocol.validation.cases, 0) == [0, 1]
    for split in (protocol.test, protocol.validation):
        assert split.fit.items.tolist() == [0, 1, 4, 5]  # two events are too few to lose any


def test_loo_follows_a_published_split() -> None:
    world = interactions([[(0, 0), (1, 1), (2, 2)]], items=3)
    protocol = leave_one_out(world, part=np.array([0, 0, 2]))
    assert asked(protocol.test.cases) == [("u0", 2)]
    assert protocol.test.fit.items.tolist() == [0, 1]
    assert len(protocol.validation.cases) == 0


def shop_week() -> list[list[tuple[int, float]]]:
    """u0 goes on after the cut, u1 stops before it, u2 is new after it."""
    return [[(0, 0), (1, 10), (2, 100), (3, 101)], [(1, 5), (2, 50)], [(4, 100), (5, 120)]]


def test_gts_asks_known_users_for_every_later_event_with_the_history_growing() -> None:
    test = global_time_split(interactions(shop_week(), items=6), quantile=0.5).test
    assert sorted(test.fit.times.tolist()) == [0, 5, 10, 50]
    assert asked(test.cases) == [("u0", 2), ("u0", 3)]
    assert history(test.cases, 0) == [0, 1]
    assert history(test.cases, 1) == [0, 1, 2]


def test_gts_cuts_between_two_seconds_and_keeps_ties_of_one_second_together() -> None:
    tie = 4 + 1e-6  # moved apart from the event at 4 by reading, not by happening later
    world = interactions(
        [[(item, time) for item, time in enumerate([0, 1, 2, 3, 4, tie, 5, 6, 7, 8])]], items=10
    )
    test = global_time_split(world, quantile=0.5).test
    assert test.fit.times.tolist() == [0, 1, 2, 3, 4, tie]
    assert test.cases.targets.tolist() == [6, 7, 8, 9]


def test_gts_last_asks_once_a_user() -> None:
    test = global_time_split(interactions(shop_week(), items=6), quantile=0.5, targets="last").test
    assert asked(test.cases) == [("u0", 3)]


def test_cold_items_have_no_training_event_and_are_the_only_targets() -> None:
    cold = np.isin(np.arange(6), [1, 3])
    test = global_time_split(interactions(shop_week(), items=6), quantile=0.5, cold=cold).test
    assert not cold[test.fit.items].any()
    assert asked(test.cases) == [("u0", 3)]
    assert history(test.cases, 0) == [0, 2]


def test_an_item_the_user_had_is_not_asked_where_seen_items_are_excluded() -> None:
    world = interactions([[(0, 0), (1, 1), (0, 10), (2, 11)]], items=3)
    assert asked(global_time_split(world, quantile=0.4).test.cases) == [("u0", 2)]
    both = global_time_split(world, quantile=0.4, exclude_seen=False).test.cases
    assert asked(both) == [("u0", 0), ("u0", 2)]
    assert both.repeats.tolist() == [True, False]


def test_gts_without_a_case_says_so() -> None:
    with pytest.raises(UsageError, match="no user has events both before and after"):
        global_time_split(interactions([[(0, 0)], [(1, 9)]], items=2))
    with pytest.raises(UsageError, match="'every'"):
        global_time_split(interactions(shop_week(), items=6), targets="every")


EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 60)), min_size=12, max_size=60
)


@given(events=EVENTS, quantile=st.floats(0.3, 0.9))
def test_no_split_knows_its_future(events: list[tuple[int, int, int]], quantile: float) -> None:
    world = interactions(
        [[(item, float(time)) for user, item, time in events if user == u] or [(0, 0.0)] for u in range(5)],
        items=8,
    )
    try:
        protocol = global_time_split(world, quantile=quantile)
    except UsageError:
        return
    for split in (protocol.test, protocol.validation):
        cases = split.cases
        if not len(cases):
            continue
        assert split.fit.times.max() < cases.now.min()
        assert (np.diff(cases.question) >= 0).all()
        for case in range(len(cases)):
            seen = cases.histories()
            question = cases.question[case]
            assert (
                seen.times[seen.indptr[question] : seen.indptr[question + 1]] <= cases.now[question]
            ).all()
            assert cases.targets[case] not in seen.seen(question)
    assert protocol.validation.cases.now.max(initial=0) <= protocol.test.cases.now.min()


def test_a_basket_is_asked_item_by_item_knowing_only_what_came_before_it() -> None:
    tick = 1e-6  # ties of one basket are told apart by microseconds
    world = interactions(
        [
            [(0, 0), (1, tick), (1, 70), (0, 100), (2, 100 + tick), (2, 100 + 2 * tick), (3, 160)],
            [(4, 100), (5, 100 + tick)],
        ],
        items=6,
    )
    protocol = retail(world, validate_from=50, test_from=90)
    cases = protocol.test.cases
    assert asked(cases) == [("u0", 0), ("u0", 2), ("u0", 3)]  # the first basket of u1 is not asked
    assert cases.question.tolist() == [0, 0, 1]
    assert history(cases, 0) == history(cases, 1) == [0, 1, 1]
    assert cases.repeats.tolist() == [True, False, False]
    assert asked(protocol.validation.cases) == [("u0", 1)]
    for split in (protocol.test, protocol.validation):
        assert sorted(split.fit.items.tolist()) == [0, 1]


def test_sessions_are_asked_from_their_second_item_on() -> None:
    world = interactions([[(0, 0), (1, 1)], [(0, 10), (0, 11)], [(2, 20), (1, 21), (0, 22)]], items=3)
    protocol = sessions(world, part=np.array([0, 1, 2]))
    assert asked(protocol.test.cases) == [("u2", 1), ("u2", 0)]
    assert history(protocol.test.cases, 1) == [2, 1]
    assert len(protocol.test.fit) == 4
    assert asked(protocol.validation.cases) == [("u1", 0)]
    assert protocol.validation.fit.items.tolist() == [0, 1]
    assert protocol.validation.cases.known.times.max() < 20


def test_the_newest_sessions_are_the_test() -> None:
    world = interactions([[(0, float(100 - user))] for user in range(10)], items=1)
    assert newest_sessions(world, shares=(0.8, 0.1, 0.1)).tolist() == [2, 1, *[0] * 8]


def test_taking_cases_keeps_their_questions() -> None:
    cases = last_item_cases([[0, 1], [2, 3, 4], [5, 6]], items=7)
    kept = cases.take(np.array([False, True, True]))
    assert asked(kept) == [("u1", 4), ("u2", 6)]
    assert history(kept, 0) == [2, 3]


def test_batches_hold_every_case_once() -> None:
    cases = last_item_cases([[0, 1, 2]] * 7, items=3, exclude_seen=True)
    batches = list(cases.batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.concatenate([batch.targets for batch in batches]).tolist() == [2] * 7
    rows, items = batches[0].excluded()
    assert rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert items.tolist() == [0, 1] * 3


def movielens(data_root: Path) -> pd.DataFrame:
    path = data_root / "movielens-1m" / "ratings.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    return pd.read_parquet(path)


@pytest.mark.real_data
def test_movielens_has_the_published_number_of_cases(data_root: Path) -> None:
    ratings = movielens(data_root)
    movies, rows = np.unique(ratings["movie_id"], return_inverse=True)
    users, owner = np.unique(ratings["user_id"], return_inverse=True)
    world = Interactions.of(
        users=owner, items=rows, times=ratings["timestamp"].to_numpy(), user_ids=users, item_count=len(movies)
    )

    def test_split(**options: object) -> Split:
        return global_time_split(world, **options).test  # type: ignore[arg-type]

    successive = test_split()
    assert successive.fit.times.max() <= 980998147 < successive.cases.now.min()
    assert len(successive.cases) == 47703
    assert (successive.popularity[successive.cases.targets] == 0).sum() == 62
    assert len(test_split(targets="last").cases) == len(np.unique(successive.cases.case_users))
    assert len(test_split(cold=movies % 10 == 3).cases) == 4988
