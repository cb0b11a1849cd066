"""What a reason says: every retriever, list and rule that ships has words of its own."""

from tailorbird.models.hybrid.model import RETRIEVERS
from tailorbird.slate.fallback import EDITORIAL, EVERYONE, SEGMENT
from tailorbird.slate.filters import FILTERS
from tailorbird.slate.words import LISTS, RULES, SOURCES, filled_in, number_of, rule_in_words


def test_everything_that_ships_has_words():
    assert set(RETRIEVERS) <= set(SOURCES)
    assert {SEGMENT, EVERYONE, EDITORIAL} == set(LISTS)
    assert {each.reason for each in FILTERS} == set(RULES)


def test_places_count_from_one_and_the_name_stays_readable_for_machines():
    assert number_of(2, "cooccurrence") == (
        "number 3 of what others took together with the items of this history (cooccurrence)"
    )
    assert number_of(0, "my_own") == "number 1 of my_own"
    assert filled_in(0, EVERYONE) == "filled in, number 1 of what is popular with everybody (popularity)"


def test_rules_say_how_many():
    assert rule_in_words("seen", 1) == "1 item already had by this person"
    assert rule_in_words("out_of_stock", 1_200) == "1,200 items out of stock"
