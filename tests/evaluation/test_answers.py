"""What is measured is what is served: questions become requests to the recommender, one way for both."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.log.history import SCHEMA
from tailorbird.errors import TailorbirdError
from tailorbird.evaluation.answers import answer_by_recommender
from tailorbird.evaluation.cases import Cases
from tailorbird.events.interactions import Interactions
from tailorbird.features.demographics import Demographics
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.slate.query import Query
from tailorbird.slate.shelf import Shelf
from tests.slate.toy import CATALOG, FACTS, NOW, BrokenStages, RowStages, recommender

ACTS = [("ann", 0, 60.0), ("ann", 2, 40.0), ("ann", 5, 20.0), ("bob", 1, 50.0), ("bob", 4, 10.0)]
"""(person, item row, seconds before NOW)"""


def frame() -> pd.DataFrame:
    when = pd.to_datetime([round((NOW - ago) * 1e6) for _, _, ago in ACTS], unit="us", utc=True)
    return pd.DataFrame(
        {
            "message_id": [f"m{row}" for row in range(len(ACTS))],
            "type": "view",
            "user_id": [user for user, _, _ in ACTS],
            "anonymous_id": None,
            "session_id": None,
            "item_id": [f"i{item}" for _, item, _ in ACTS],
            "value": np.nan,
            "event_time": when,
            "received_time": when,
            "context": ['{"device": "phone", "consent": {"ads": true}}', None, None, "broken", None],
            "user_key": [f"user:{user}" for user, _, _ in ACTS],
        }
    )


def cases(*, exclude_seen: bool = True) -> Cases:
    known = Interactions.of(
        users=[user == "bob" for user, _, _ in ACTS],
        items=np.array([item for _, item, _ in ACTS]),
        times=np.array([NOW - ago for _, _, ago in ACTS]),
        user_ids=np.array(["user:ann", "user:bob"], dtype=object),
        item_count=len(CATALOG),
    )
    return Cases.of_rows(known, np.arange(len(known)), exclude_seen=exclude_seen)


PROFILES = ReplayProfiles.of_frame(frame(), CATALOG)


def test_a_profile_holds_what_happened_before_the_question_and_no_more() -> None:
    answers = answer_by_recommender(recommender(), cases(), profiles=PROFILES, people={}, k=4, batch_size=2)
    assert answers.rankings.tolist() == [
        [0, 1, 2, 4],  # i3 is sold out
        [1, 2, 4, 5],
        [1, 4, 5, 6],
        [0, 1, 2, 4],
        [0, 2, 4, 5],
    ]
    assert answers.ranks.tolist() == [1, 2, 3, 2, 3]


def test_where_repeats_count_nothing_seen_is_left_out() -> None:
    answers = answer_by_recommender(
        recommender(), cases(exclude_seen=False), profiles=PROFILES, people={}, k=2
    )
    assert answers.rankings.tolist() == [[0, 1]] * 5


def test_an_item_is_answered_from_its_launch_on() -> None:
    launches = [NOW - 30.0 if row == 0 else np.nan for row in range(len(CATALOG))]
    dated = Catalog.from_frame(CATALOG.items.assign(launched_at=launches))
    shop = replace(recommender(), shelf=Shelf.of_past(dated))
    answers = answer_by_recommender(shop, cases(exclude_seen=False), profiles=PROFILES, people={}, k=1)
    assert answers.rankings[:, 0].tolist() == [1, 1, 0, 1, 0]


def test_the_stock_of_today_is_not_held_against_the_past() -> None:
    shop = replace(recommender(), shelf=Shelf.of_past(CATALOG))
    answers = answer_by_recommender(shop, cases(), profiles=PROFILES, people={}, k=4)
    assert answers.rankings[0].tolist() == [0, 1, 2, 3]


def test_the_stock_of_an_instant_is_held_against_that_instant() -> None:
    """Item 0 was sold out until 30 seconds ago, item 3 has been since; of item 1 nobody ever wrote a change down."""
    now = {0: 5.0, 1: 0.0, 3: 0.0}
    catalog = Catalog.from_frame(CATALOG.items.assign(stock=[now.get(row, 5.0) for row in range(12)]))
    before = catalog.items.iloc[[0, 3]].assign(stock=[0.0, 5.0], valid_until=round((NOW - 30) * 1e6))
    shop = replace(recommender(), shelf=Shelf.of_past(catalog, before[SCHEMA.names]))
    answers = answer_by_recommender(shop, cases(exclude_seen=False), profiles=PROFILES, people={}, k=3)
    assert answers.rankings.tolist() == [[1, 2, 3], [1, 2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2]]


@dataclass(frozen=True)
class Listening(RowStages):
    heard: list[Query] = field(default_factory=list)

    def score(self, queries, candidates):
        self.heard.extend(queries)
        return super().score(queries, candidates)


def test_each_question_carries_its_context_and_its_person() -> None:
    stages, ann = Listening(), Demographics(age=30.0, gender="f")
    answer_by_recommender(
        recommender(stages),
        cases(),
        profiles=PROFILES,
        people={"user:ann": ann},
        contexts=PastContexts.of(frame()),
    )
    assert [query.context for query in stages.heard] == [{"device": "phone"}, {}, {}, {}, {}]
    assert [query.segment for query in stages.heard] == ["f 25-34"] * 3 + [""] * 2
    assert [query.now for query in stages.heard] == cases().now.tolist()


def test_a_model_that_fails_is_not_measured_by_what_stands_in_for_it() -> None:
    with pytest.raises(TailorbirdError, match="index is broken"):
        answer_by_recommender(recommender(BrokenStages()), cases(), profiles=PROFILES, people={})


def test_a_deep_list_begins_with_the_page_that_is_shown() -> None:
    varied = recommender(max_category_share=0.1)
    deep = answer_by_recommender(varied, cases(), profiles=PROFILES, people={}, k=100)
    page = answer_by_recommender(varied, cases(), profiles=PROFILES, people={}, k=5)
    assert deep.rankings[:, :5].tolist() == page.rankings.tolist()
    assert page.rankings[0].tolist() == [0, 1, 4, 5, 8]


def test_offline_answers_are_those_of_a_live_profile() -> None:
    from tailorbird.events.schema import Event
    from tailorbird.features.profile.state import UserState

    asked = cases()
    offline = answer_by_recommender(recommender(), asked, profiles=PROFILES, people={}, k=6)
    for place, (user, _, ago) in enumerate(ACTS):
        events = [
            Event(f"m{row}", "view", NOW - before, NOW - before, user_id=who, item_id=f"i{item}")
            for row, (who, item, before) in enumerate(ACTS)
            if who == user and before > ago
        ]
        live = fold(UserState.empty(f"user:{user}"), events, FACTS)
        slate = recommender().recommend(Query(live, NOW - ago, k=6))
        assert [int(item.item_id[1:]) for item in slate.items] == offline.rankings[place].tolist()
