"""Exploration: what is drawn is drawn as often as its propensity says, and nothing that an answer must obey is left to chance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.exposures.record import exposure_of
from tailorbird.features.history.records import RECORD
from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.items.items import ItemTable
from tailorbird.slate.exploration import Exploration, Pool, draw_slate
from tailorbird.slate.filtering.parser import parse_filter
from tailorbird.slate.newcomers import DRAWS, Newcomers
from tailorbird.slate.query import Pin, Query, Wishes
from tests.slate import toy

GRID = 40
MID = (np.arange(GRID) + 0.5) / GRID
STAGES = toy.RowStages()
SOME = Exploration(uniform=0.2, softmax=0.2, newcomers=0.2)


def exploring(exploration=SOME, stages=STAGES, **policy):
    return toy.recommender(stages, **policy).exploring(exploration)


def ids(slate):
    return [item.item_id for item in slate.items]


@st.composite
def pools(draw):
    ranked, new = draw(st.integers(1, 7)), draw(st.integers(0, 3))
    count = ranked + new
    chances = np.zeros(count)
    chances[ranked:] = draw(st.lists(st.floats(0.01, 1), min_size=new, max_size=new))
    if draw(st.booleans()):
        chances[0] = 0.4  # what is new may be ranked as well
    shelves = np.array(draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count)))
    kinds = np.array([draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))])
    scores = np.sort(draw(st.lists(st.floats(-3, 3, width=32), min_size=ranked, max_size=ranked)))[::-1]
    pool = Pool(np.arange(count), np.arange(ranked), shelves, chances)
    return pool, scores.astype(np.float32), kinds, np.array([draw(st.integers(1, 3))])


@st.composite
def explorations(draw):
    a, b, c = sorted(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)))
    return Exploration(
        uniform=a,
        softmax=b - a,
        newcomers=c - b,
        temperature=draw(st.floats(0.1, 3)),
        depth=draw(st.integers(1, 8)),
        first_place=draw(st.integers(1, 3)),
    )


@settings(max_examples=12, deadline=None)
@given(
    pools(),
    explorations(),
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.sampled_from([(), (Pin("i2", 2),), (Pin("i0", 1), Pin("i9", 3))]),
)
def test_every_item_is_drawn_as_often_as_its_propensity_says_given_those_above(
    pooled, exploration, seed, limit, pins
) -> None:
    pool, scores, kinds, mosts = pooled
    query = Query(toy.state(), toy.NOW, k=4, wishes=Wishes(pins=pins))

    def drawn(chance):
        return draw_slate(
            pool,
            scores,
            query,
            exploration,
            catalog=toy.CATALOG,
            category_limit=limit,
            kinds=kinds,
            mosts=mosts,
            chance=chance,
        )

    chance = np.random.default_rng(seed).random((query.k, 2))
    found = drawn(chance)
    for place, (item, propensity) in enumerate(zip(found.chosen, found.propensities, strict=True)):
        often = 0
        for first in MID:
            for second in MID:
                other = chance.copy()
                other[place] = first, second
                again = drawn(other).chosen
                assert again[:place].tolist() == found.chosen[:place].tolist()
                often += again[place] == item
        assert 0 < propensity <= 1 + 1e-12
        assert often / GRID**2 == pytest.approx(propensity, abs=2.5 / GRID)


def test_frequencies_over_many_answers_are_the_logged_propensities() -> None:
    recommender = exploring()
    seen: dict[str, list[float]] = {}
    for number in range(2_000):
        slate = recommender.recommend(toy.query(k=2, draw_id=f"r{number}"))
        seen.setdefault(ids(slate)[0], []).append(float(slate.propensities[0]))
    assert len(seen) > 8
    for propensities in seen.values():
        assert len(set(propensities)) == 1
        assert len(propensities) / 2_000 == pytest.approx(propensities[0], abs=0.04)
    assert sum(each[0] for each in seen.values()) == pytest.approx(1, abs=1e-6)


def test_an_answer_without_an_id_and_one_that_explores_nothing_are_the_ranking() -> None:
    plain = toy.recommender().recommend(toy.query(k=6))
    unasked = exploring().recommend(toy.query(k=6))
    assert (unasked.items, unasked.propensities) == (plain.items, None)
    nothing = exploring(Exploration()).recommend(toy.query(k=6, draw_id="r1"))
    assert (ids(nothing), nothing.propensities) == (ids(plain), None)
    top = exploring(replace(SOME, first_place=7)).recommend(toy.query(k=6, draw_id="r1"))
    assert (ids(top), top.propensities.tolist()) == (ids(plain), [1.0] * 6)


def test_the_same_id_draws_the_same_answer_again() -> None:
    recommender = exploring()
    slates = [ids(recommender.recommend(toy.query(k=6, draw_id=f"r{n % 40}"))) for n in range(80)]
    assert slates[:40] == slates[40:]
    assert len({tuple(slate) for slate in slates}) > 20


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([None, 1, 2]))
def test_pages_caps_pins_and_rules_hold_whatever_is_drawn(number, pinned, per_category) -> None:
    wishes = Wishes(
        pins=(Pin("i6", 2), Pin("i8", 5)) if pinned else (),
        per_category=per_category,
        where=parse_filter('not brand in ["south"] or category in ["cups", "pots"]'),
    )
    recommender = exploring(Exploration(uniform=0.4, softmax=0.3, newcomers=0.3))
    shown: list[str] = []
    while True:
        page = recommender.recommend(
            toy.query(("view", "i5"), k=3, wishes=wishes, shown=tuple(shown), draw_id=f"{number}{shown}")
        )
        if per_category and len(page.items) > 1:
            kinds = [int(item[1:]) // 4 for item in ids(page) if not (pinned and item in ("i6", "i8"))]
            assert max((kinds.count(kind) for kind in kinds), default=0) <= per_category
        shown += ids(page)
        if not page.more or not page.items:
            break
    assert len(shown) == len(set(shown))
    assert not {"i0", "i2", "i3", "i5"} & set(shown)  # of another brand, sold out, seen
    if pinned:
        assert shown[1] == "i6"
    if not per_category:
        assert set(shown) == {"i1", "i4", "i6", "i7", "i8", "i9", "i10", "i11"}
        if pinned:
            assert shown[4] == "i8"


def test_no_category_exceeds_its_share_while_others_wait() -> None:
    recommender = exploring(Exploration(uniform=1.0), max_category_share=0.1)
    for number in range(40):
        page = ids(recommender.recommend(toy.query(k=6, draw_id=f"r{number}")))
        kinds = [int(item[1:]) // 4 for item in page]
        assert [kinds.count(kind) for kind in range(3)] == [2, 2, 2]


@settings(max_examples=20, deadline=None)
@given(explorations(), st.integers(0, 10**6), st.booleans())
def test_a_slate_that_was_drawn_would_have_been_with_the_chances_it_was(exploration, number, capped) -> None:
    wishes = Wishes(pins=(Pin("i6", 2),), per_category=2) if capped else Wishes(where=None)
    recommender = exploring(exploration, max_category_share=0.1)
    query = toy.query(k=5, wishes=wishes, draw_id=f"r{number}")
    slate = recommender.recommend(query)
    if slate.propensities is not None:
        shown = ids(slate)[: len(slate.found)]
        assert recommender.chances(query, shown) == pytest.approx(slate.propensities, rel=1e-5)


def test_what_would_never_stand_there_has_no_chance() -> None:
    greedy = toy.recommender()
    assert greedy.chances(toy.query(), ["i0", "i1", "i2"]).tolist() == [1.0, 1.0, 1.0]
    assert greedy.chances(toy.query(), ["i1", "i0", "i2"]).tolist() == [0.0, 1.0, 1.0]
    assert greedy.chances(toy.query(), ["i3", "gone", "i0"]).tolist() == [0.0, 0.0, 1.0]
    capped = toy.query(wishes=Wishes(per_category=1))
    assert greedy.chances(capped, ["i0", "i4", "i5"]).tolist() == [1.0, 1.0, 0.0]


def test_what_is_new_is_shown_though_no_source_proposes_it_and_its_score_is_the_rankers() -> None:
    recommender = exploring(Exploration(newcomers=1.0), toy.RowStages(reach=4))
    slate = recommender.recommend(toy.query(k=3, draw_id="r1"))
    assert set(ids(slate)) == {"i9", "i10", "i11"}
    assert [item.score for item in slate.items] == [-float(item[1:]) for item in ids(slate)]
    assert slate.found.ranks.tolist() == [[-1, -1]] * 3


def test_lists_fill_what_the_model_leaves_and_are_certain() -> None:
    query = toy.query(k=6, draw_id="r2")
    slate = exploring(Exploration(uniform=0.5), toy.RowStages(reach=2)).recommend(query)
    exposure = exposure_of(
        slate,
        query,
        recommendation_id="r2",
        user_id="ann",
        anonymous_id=None,
        session_id=None,
        scenario="",
        arm="champion",
    )
    assert exposure.propensities[0] in (pytest.approx(0.75), pytest.approx(0.25))
    assert exposure.propensities[1:].tolist() == [1.0] * 5


def test_neighbours_and_a_callers_list_are_not_explored() -> None:
    recommender = exploring(Exploration(uniform=1.0))
    alike = recommender.similar(toy.query(item_id="i5", k=4, draw_id="r1"))
    assert alike.propensities is None
    assert ids(recommender.rerank(toy.query(draw_id="r1"), ["i4", "i1"])) == ["i1", "i4"]


def counted(impressions: dict[int, int], clicks: dict[int, int]) -> ItemTable:
    counters = ItemCounters.empty(len(toy.CATALOG))
    for kind, counts in (("impression", impressions), ("click", clicks)):
        rows = np.repeat(list(counts), list(counts.values())).astype(np.int64)
        records = np.zeros(len(rows), RECORD)
        records["type"], records["time"] = TYPE_CODE[kind], int(toy.NOW * 1e6)
        counters.fold(records, rows)
    launched = np.where(np.arange(12) >= 8, toy.NOW - 86_400.0, toy.NOW - 100 * 86_400.0)
    launched[11] = np.nan
    return replace(ItemTable.of(toy.CATALOG, counters), launched_at=launched)


def test_newcomers_are_those_launched_lately_first_by_need() -> None:
    new = Newcomers.of(counted({8: 25, 9: 0, 10: 50}, {}), now=toy.NOW, new_days=14, first_impressions=50)
    assert new.rows.tolist() == [8, 9, 10]
    assert new.chances.sum() == pytest.approx(1)
    assert new.chances[1] > new.chances[0] > new.chances[2] > 0


def test_once_all_had_their_first_impressions_the_better_are_the_likelier() -> None:
    table = counted({8: 500, 9: 500, 10: 500}, {8: 5, 9: 50, 10: 40})
    new = Newcomers.of(table, now=toy.NOW, new_days=14, first_impressions=50)
    assert new.chances[1] > new.chances[2] > new.chances[0] > 0
    assert new.chances[0] < 5 / DRAWS


def test_nothing_is_new_where_no_launch_is_near() -> None:
    assert not len(Newcomers.of(counted({}, {}), now=toy.NOW, new_days=0.5, first_impressions=50))
