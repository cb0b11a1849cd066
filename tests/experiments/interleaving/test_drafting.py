"""Team draft: by turns, each item once, with exact chances; what both would pick is nobody's; who clicks at random prefers neither."""

from collections import Counter
from itertools import islice, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.experiments.interleaving.drafting import NOBODY, OURS, THEIRS, Pick, coin_of, draft

RANKINGS = st.lists(st.sampled_from("abcdefgh"), unique=True)
COINS = st.lists(st.booleans(), min_size=16, max_size=16)


def drafted(ours: str, theirs: str, *tosses: bool) -> list[Pick]:
    return list(draft(ours, theirs, coin=lambda round_: tosses[round_]))


def test_teams_take_turns_and_a_coin_says_who_begins_each_round():
    assert drafted("abcd", "dcba", False, True) == [
        Pick("a", OURS, 0.5),
        Pick("d", THEIRS, 1.0),
        Pick("c", THEIRS, 0.5),
        Pick("b", OURS, 1.0),
    ]


def test_what_both_would_pick_is_nobodys():
    assert drafted("xaby", "xbay", True) == [
        Pick("x", NOBODY, 1.0),
        Pick("b", THEIRS, 0.5),
        Pick("a", OURS, 1.0),
        Pick("y", NOBODY, 1.0),
    ]


def test_what_is_left_when_one_ranking_has_ended_is_nobodys():
    assert drafted("abc", "d", True) == [
        Pick("d", THEIRS, 0.5),
        Pick("a", OURS, 1.0),
        Pick("b", NOBODY, 1.0),
        Pick("c", NOBODY, 1.0),
    ]


@given(ours=RANKINGS, theirs=RANKINGS, tosses=COINS)
def test_every_item_is_there_once_and_no_team_is_ahead_by_two(ours, theirs, tosses):
    picks = drafted("".join(ours), "".join(theirs), *tosses)
    assert Counter(each.item for each in picks) == Counter({*ours, *theirs})
    for pick in picks:
        assert pick.team != OURS or pick.item in ours
        assert pick.team != THEIRS or pick.item in theirs
    ahead = np.cumsum([{OURS: -1, THEIRS: 1, NOBODY: 0}[each.team] for each in picks])
    assert np.abs(ahead).max(initial=0) <= 1


@given(ours=RANKINGS, theirs=RANKINGS)
def test_chances_are_exact_given_the_items_above(ours, theirs):
    """Over all tosses each slate comes as often as the product of its chances says."""
    made: Counter[tuple[Pick, ...]] = Counter(
        tuple(islice(draft(ours, theirs, coin=lambda round_, tosses=tosses: tosses[round_]), 5))
        for tosses in product((False, True), repeat=8)
    )
    slates: Counter[tuple[str, ...]] = Counter()
    for picks, count in made.items():
        slates[tuple(each.item for each in picks)] += count
    for picks in made:
        chance = float(np.prod([each.chance for each in picks]))
        assert slates[tuple(each.item for each in picks)] / 2**8 == chance


@given(ours=RANKINGS, theirs=RANKINGS)
def test_at_every_place_a_team_picks_as_often_as_the_other_where_both_have_the_same_items(ours, theirs):
    theirs = sorted(ours, key=lambda item: (theirs.index(item) if item in theirs else -1, item))
    balance = np.zeros(len(ours))
    for tosses in product((False, True), repeat=4):
        for place, pick in enumerate(
            draft(ours, theirs, coin=lambda round_, tosses=tosses: tosses[round_ % 4])
        ):
            balance[place] += {OURS: -1, THEIRS: 1, NOBODY: 0}[pick.team]
    assert not balance.any()


def test_the_coin_of_an_answer_is_its_own_and_fair():
    assert [coin_of("salt", "r1")(n) for n in range(64)] == [coin_of("salt", "r1")(n) for n in range(64)]
    tosses = np.array([[coin_of("salt", f"r{each}")(n) for n in range(8)] for each in range(2_000)])
    assert np.abs(tosses.mean(axis=0) - 0.5).max() < 0.05
    assert np.abs(np.corrcoef(tosses.T) - np.eye(8)).max() < 0.09
    others = np.array([coin_of("other", f"r{each}")(0) for each in range(2_000)])
    assert abs((others == tosses[:, 0]).mean() - 0.5) < 0.05


class Kinds:
    """So many items of a kind, which is an item's first letter."""

    def __init__(self, most: int) -> None:
        self.most, self.counts = most, Counter[str]()

    def fits(self, item: str) -> bool:
        return self.counts[item[0]] < self.most

    def take(self, item: str) -> None:
        self.counts[item[0]] += 1


def test_a_team_whose_best_does_not_fit_any_more_picks_its_next():
    ours, theirs = ["a1", "b1", "c1"], ["a2", "c2", "b2"]
    for tosses in product((False, True), repeat=3):
        picks = list(draft(ours, theirs, coin=lambda round_, tosses=tosses: tosses[round_], room=Kinds(1)))
        assert sorted(pick.item[0] for pick in picks) == ["a", "b", "c"]
        teams = [pick.team for pick in picks if pick.team != NOBODY]
        assert abs(teams.count(OURS) - teams.count(THEIRS)) <= 1
    first = list(draft(ours, theirs, coin=lambda round_: False, room=Kinds(1)))
    assert [pick.item for pick in first][:2] == ["a1", "c2"]  # a2 fits no more, and they go on


@given(
    ours=RANKINGS,
    theirs=RANKINGS,
    tosses=st.lists(st.booleans(), min_size=20, max_size=20),
    most=st.integers(1, 3),
)
def test_no_team_is_ahead_by_two_whatever_there_is_room_for(ours, theirs, tosses, most):
    room = Kinds(most)
    named = [[f"{'xyz'[sum(map(ord, str(item))) % 3]}{item}" for item in each] for each in (ours, theirs)]
    picks = list(draft(*named, coin=lambda round_: tosses[round_ % 20], room=room))
    assert max(Counter(pick.item[0] for pick in picks).values(), default=0) <= most
    ahead = np.cumsum([{OURS: -1, THEIRS: 1, NOBODY: 0}[pick.team] for pick in picks])
    assert np.abs(ahead).max(initial=0) <= 1
