"""Where people live and how old they are narrows what a basis covers; nobody knows a country: every country's rule holds."""

from contextlib import closing

import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.events.schema import Event
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.privacy.door.door import Door
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.privacy.policy.rules import Basis, Rule
from tailorbird.settings import Settings
from tests.privacy.test_tcf import SOME

POLICY = """
[basis]
name = "contract"
purposes = ["personalization", "analytics"]

[[rules]]
country = ["DE", "Austria"]
purposes = ["analytics"]

[[rules]]
age_below = 16
purposes = []

[tcf]
personalization = [3, 7]
analytics = [8]
"""
WHOLE, SOME_OF_IT = ["analytics", "personalization"], ["analytics"]


@pytest.fixture
def workspace(settings: Settings) -> Settings:
    settings.folder.mkdir(parents=True)
    (settings.folder / POLICY_FILE).write_text(POLICY)
    return settings


@pytest.mark.parametrize(
    ("context", "person", "covered"),
    [
        ({"country": "US"}, NOBODY, WHOLE),
        ({"country": "de"}, NOBODY, SOME_OF_IT),
        ({}, Demographics(country="AUSTRIA"), SOME_OF_IT),
        ({}, Demographics(country="France"), WHOLE),
        ({"country": "US"}, Demographics(country="Austria"), SOME_OF_IT),
        ({"country": "DE"}, Demographics(country="US"), SOME_OF_IT),
        ({"country": "US"}, Demographics(country="France"), WHOLE),
        ({}, NOBODY, SOME_OF_IT),
        ({"country": 5}, NOBODY, SOME_OF_IT),
        ({"country": "US"}, Demographics(age=15.5), []),
        ({"country": "DE"}, Demographics(age=16.0), SOME_OF_IT),
    ],
)
def test_the_strictest_of_the_rules_that_hold_decides(
    workspace: Settings, context: dict, person: Demographics, covered: list[str]
) -> None:
    assert sorted(read_policy(workspace).covers.of(context, person)) == covered


@pytest.mark.parametrize(
    ("listed", "country", "holds"),
    [
        (["de"], "Germany", True),
        (["germany"], "DE", True),
        (["de", "austria"], "Germany", False),  # names are there, and this is none of them
        (["de"], "FR", False),
        (["de"], "", True),
        (["austria"], "", True),
        ([], "FR", True),
    ],
)
def test_a_country_in_another_form_than_the_rules_is_unknown(
    listed: list[str], country: str, holds: bool
) -> None:
    assert Rule(frozenset(listed), None, frozenset()).concerns(country, 30.0) == holds


RULE = st.builds(
    Rule,
    countries=st.frozensets(st.sampled_from(["de", "us"])),
    age_below=st.none() | st.floats(1, 90),
    purposes=st.frozensets(st.sampled_from(WHOLE)),
)


@given(
    st.frozensets(st.sampled_from(WHOLE)),
    st.lists(RULE),
    st.sampled_from(["DE", "US"]),
    st.floats(1, 90),
)
def test_no_rule_widens_a_basis_and_an_unknown_country_is_never_better_off(
    purposes: frozenset[str], rules: list[Rule], country: str, age: float
) -> None:
    basis = Basis(purposes, rules)
    there = set(basis.of({}, Demographics(age=age, country=country)))
    assert set(basis.of({}, Demographics(age=age))) <= there <= purposes


def test_events_carry_what_the_rules_leave_at_both_doors(workspace: Settings) -> None:
    told = {"young": Demographics(age=12.0), "old": Demographics(age=50.0)}
    events = [
        Event("m1", "view", 1.0, 1.0, user_id="young", context={"country": "US"}),
        Event("m2", "view", 1.0, 1.0, user_id="old", context={"country": "US", "device": "mobile"}),
        Event("m3", "view", 1.0, 1.0, user_id="old"),
        Event("m4", "identify", 1.0, 1.0, user_id="old", anonymous_id="a"),
    ]
    expected = [
        {"basis": [], "country": "US"},
        {"country": "US", "device": "mobile"},
        {"basis": ["analytics"]},
        {},
    ]
    with closing(Door.of(workspace)) as names:
        known = {names.person(name): person for name, person in told.items()}
    with closing(Door.of(workspace, told=lambda key: known.get(key, NOBODY))) as door:
        assert [event.context for event in door.events(events)] == expected
        rows = pd.DataFrame(
            {
                "type": [event.type for event in events],
                "user_id": [event.user_id for event in events],
                "anonymous_id": [event.anonymous_id for event in events],
                "context": [
                    orjson.dumps(event.context).decode() if event.context else None for event in events
                ],
                "properties": [None] * 4,
            }
        )
        stored = door.frame(rows, told=lambda key: known.get(key, NOBODY))
    assert [orjson.loads(text) if text else {} for text in stored["context"]] == expected


def test_a_tc_string_of_an_event_is_read_and_sealed(workspace: Settings) -> None:
    sent = Event("m1", "view", 1.0, 1.0, user_id="ann", context={"country": "US", "consent": SOME})
    with closing(Door.of(workspace)) as door:
        (stored,) = door.events([sent])
        assert stored.context == {"country": "US", "consent": {"personalization": True, "analytics": False}}
        assert SOME not in str(stored)
        assert door.personal(stored)["context"] == {"consent": SOME}


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ('[[rules]]\npurposes = ["fun"]', r"rules\.0\.purposes: 'fun' is no purpose"),
        ("[[rules]]\nage_below = -1\npurposes = []", "age_below"),
        ('[[rules]]\ncountry = "DE"\npurposes = []', "country"),
        ("[[rules]]\nage_below = 16", "purposes"),
        ("[tcf]\nfun = [1]", "tcf: 'fun' is no purpose"),
        ("[tcf]\nanalytics = [25]", "tcf"),
        ("[tcf]\nanalytics = []", "tcf"),
        ('[purposes]\nnames = ["restriction"]', "no purpose"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(settings: Settings, said: str, what: str) -> None:
    settings.folder.mkdir(parents=True)
    (settings.folder / POLICY_FILE).write_text(said + "\n")
    with pytest.raises(UsageError, match=what):
        read_policy(settings)
