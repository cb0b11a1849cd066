"""Rules that somebody wrote: what they ask, of whom they hold and when, and what a wrong file says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.events.schema import Event
from tailorbird.features.demographics import Demographics
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.segments.moving import RulesMoved, rules_moved
from tailorbird.segments.rules.facts import FACTS, facts_of
from tailorbird.segments.rules.file import RulesFile
from tailorbird.segments.rules.rules import RULES_FILE, SegmentRules, read_rules, rules_of
from tests.features.toy import DAY, NOON, event
from tests.features.toy import FACTS as ITEMS

AWAY = "spent_30d > 500 and days_since_visit > 14"
HISTORY = [
    event("m1", "view", "drill", NOON - 40 * DAY),
    event("m2", "purchase", "drill", NOON - 20 * DAY, value=400.5),
    event("m3", "purchase", "kettle", NOON - 16 * DAY, value=100.25),
    event("m4", "view", "saw", NOON - 16 * DAY, context={"device": "mobile", "referrer": "search"}),
]
ANN = Demographics(age=34.0, gender="f", country="NL")


def folded(events: list[Event]) -> UserState:
    return fold(UserState.empty("user:ann"), events, ITEMS)


def rules(**when: str) -> SegmentRules:
    return rules_of({key: {"name": key, "when": text} for key, text in when.items()}, where="rules.toml")


def holding(when: str, *, now: float = NOON, **more: object) -> bool:
    return bool(rules(r=when).matching(folded(HISTORY), now=now, **more))  # type: ignore[arg-type]


def test_facts_of_a_history_with_known_answers() -> None:
    facts = facts_of(folded(HISTORY), now=NOON, demographics=ANN, segment="browses")
    assert set(facts) == set(FACTS)
    known = {
        "views_30d": 1,
        "views_24h": 0,
        "purchases_30d": 2,
        "carts_30d": 0,
        "events_30d": 3,
        "spent_30d": 500.75,
        "spent_1h": 0,
        "days_since_visit": 16,
        "days_since_first": 40,
        "device": "mobile",
        "referrer": "search",
        "hour": 15,
        "weekday": "sunday",
        "age": 34,
        "gender": "f",
        "country": "NL",
        "segment": "browses",
    }
    assert {name: facts[name] for name in known} == known


def test_an_impression_is_no_visit_and_what_is_to_come_is_in_no_window() -> None:
    state = folded([*HISTORY, event("m5", "impression", "saw", NOON - 60)])
    assert facts_of(state, now=NOON, names=["days_since_visit"]) == {"days_since_visit": 16}
    ahead = folded([*HISTORY, event("m6", "view", "saw", NOON + 3_600)])
    facts = facts_of(ahead, now=NOON, names=["days_since_visit", "views_1h"])
    assert facts == {"days_since_visit": 0, "views_1h": 0}


def test_time_alone_moves_a_person_into_a_rule_and_out_of_it() -> None:
    moments = {"visit": -16, "13 days": -3, "15 days": -1, "30 days": 14.1}
    held = {name: holding(AWAY, now=NOON + days * DAY) for name, days in moments.items()}
    assert held == {"visit": False, "13 days": False, "15 days": True, "30 days": False}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ('device = "mobile" and referrer in ["search", "email"]', True),
        ('weekday in ["saturday", "sunday"] and hour >= 15 and hour < 16', True),
        ("age > 40 or not purchases_24h > 0", True),
        ('has country or gender = "f"', False),
        ("not age < 20", True),
        ("age < 20", False),
        ('segment != "browses"', False),
        ('not (segment = "browses")', True),
    ],
)
def test_expressions_mean_what_filters_mean_and_what_is_not_known_is_not_compared(
    when: str, expected: bool
) -> None:
    assert holding(when) is expected


def test_what_was_told_and_the_learned_segment_are_asked() -> None:
    assert holding('age >= 34 and gender = "f" and country = "NL"', demographics=ANN)
    assert holding('segment = "browses"', segment="browses")
    assert rules(r="age > 1").asks_told
    assert not rules(r="hour > 1").asks_told


def test_no_rule_holds_of_somebody_of_whom_nothing_is_known() -> None:
    assert rules(r="purchases_30d = 0").matching(UserState.empty("user:eve"), now=NOON) == frozenset()


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.permutations(HISTORY), st.integers(1, 4), st.floats(-50, 50))
def test_rules_do_not_depend_on_the_order_of_events(order: list[Event], cut: int, days: float) -> None:
    all_rules = rules(
        away=AWAY, mobile='device = "mobile"', two="purchases_30d >= 2", new="days_since_first < 30"
    )
    state = fold(folded(order[:cut]), [*order[cut:], order[0]], ITEMS)
    now = NOON + days * DAY
    assert all_rules.matching(state, now=now) == all_rules.matching(folded(HISTORY), now=now)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[a]\nname = "a"\nwhen = "spend_30d > 5"',
            "a.when: filter, character 1: there is no fact spend_30d; did you mean spent_30d",
        ),
        (
            '[a]\nname = "a"\nwhen = "age > 5 and spent_30d = \'5\'"',
            'character 13: spent_30d is a number, "5" is a text',
        ),
        ('[a]\nname = "a"\nwhen = "gender = true"', "gender is a text, true is a boolean"),
        ('[a]\nname = "a"\nwhen = "device = \'mobil\'"', 'device is never "mobil"; did you mean mobile?'),
        ('[a]\nname = "a"\nwhen = "gender > \'f\'"', "gender is a text, and > compares numbers"),
        ('[a]\nname = "a"\nwhen = "age >"', "the expression ends"),
        ('[a]\nname = "a"\nwhen = "age > 5"\nwords = "x"', "a.words"),
        ('[A]\nname = "a"\nwhen = "age > 5"', "should match pattern"),
        ('[a]\nwhen = "age > 5"', "a.name"),
        ("[a", "cannot be read"),
    ],
)
def test_a_wrong_rule_is_refused_by_name_file_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / RULES_FILE
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_rules(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_the_file_is_followed_and_a_broken_one_keeps_the_former_rules(tmp_path: Path) -> None:
    clock = [0.0]
    file, live = tmp_path / RULES_FILE, RulesFile(tmp_path, clock=lambda: clock[0])

    def written(text: str | None) -> tuple[tuple[str, ...], str]:
        file.unlink(missing_ok=True) if text is None else file.write_text(text)
        clock[0] += 2
        return live().keys, live.trouble

    one = '[away]\nname = "stays away"\nwhen = "days_since_visit > 14"\n'
    assert written(None) == ((), "")
    assert written(one) == (("away",), "")
    keys, trouble = written(one + '[b]\nname = "b"\nwhen = "spend_1h > 1"\n')
    assert keys == ("away",)
    assert "did you mean spent_1h" in trouble
    assert written(one + '[b]\nname = "b"\nwhen = "spent_1h > 1"\n') == (("away", "b"), "")
    assert written(None) == ((), "")


def moved(before: list[Event], after: Event, *, when: str) -> RulesMoved:
    state = folded(before)
    return rules_moved(
        rules(r=when),
        state,
        fold(state, [after], ITEMS),
        now=after.received_time,
        demographics=Demographics(),
        then="",
        key="",
    )


def test_an_event_enters_and_leaves_rules_and_tells_what_time_alone_did() -> None:
    entered, left, stayed = RulesMoved(("r",), ()), RulesMoved((), ("r",)), RulesMoved()
    bought = event("m7", "purchase", "saw", NOON, value=15.0)
    assert moved(HISTORY, bought, when="spent_30d > 510") == entered
    assert moved(HISTORY, bought, when="purchases_30d = 2") == left
    assert moved(HISTORY, bought, when="purchases_30d >= 2") == stayed
    assert moved(HISTORY, bought, when=AWAY) == left, "who comes back leaves what time alone had them enter"
    assert moved([], bought, when="purchases_30d = 1") == entered
    looked = event("m8", "view", "saw", NOON + 30 * DAY)
    assert moved(HISTORY, looked, when="purchases_30d = 0") == entered, "time made it true, the event tells"
    assert (
        moved([*HISTORY, looked], event("m9", "view", "saw", NOON + 31 * DAY), when="purchases_30d = 0")
        == stayed
    )


def test_the_page_names_every_fact() -> None:
    page = Path("docs/segments.md").read_text("utf-8")
    windows = ("_15m", "_1h", "_24h", "_30d")
    named = {
        next((fact.removesuffix(each) for each in windows if fact.endswith(each)), fact) for fact in FACTS
    }
    assert [fact for fact in sorted(named) if f"`{fact}`" not in page] == []
