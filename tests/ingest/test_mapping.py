import tomllib
from importlib import resources

import pytest

from tailorbird.errors import UsageError
from tailorbird.ingest.mapping import builtin_mappings, identity_mapping, load_mapping, parse_mapping

EVENTS = """
[events.columns]
type = { constant = "click" }
user_id = "u"
event_time = { time = "t", unit = "s" }
"""


def test_every_builtin_mapping_loads_and_describes_itself() -> None:
    names = builtin_mappings()
    assert {
        "shop",
        "movielens-1m",
        "movielens-1m-sequences",
        "amazon-beauty",
        "diginetica",
        "online-retail",
        "segment",
        "mixpanel",
    } == set(names)
    for name in names:
        mapping = load_mapping(name)
        assert mapping.name == name
        assert len(mapping.description) > 20
        text = (resources.files("tailorbird.ingest") / "mappings" / f"{name}.toml").read_text()
        assert mapping.events.file == tomllib.loads(text)["events"]["file"]


def test_order_only_data_says_so() -> None:
    assert load_mapping("amazon-beauty").ordered_only
    assert not load_mapping("movielens-1m").ordered_only
    assert not identity_mapping().ordered_only


def test_a_mapping_is_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(EVENTS)
    mapping = load_mapping(path)
    assert mapping.name == "mine"
    assert mapping.events.columns["user_id"].value == "u"
    assert mapping.max_events_per_minute == 600


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[events", "is not TOML"),
        ("[items]\nfile = 'x.csv'", "has no \\[events\\]"),
        (EVENTS + "[eventz]\n", "unknown key 'eventz'"),
        (EVENTS + "[items]\ncolour = 'x'", "unknown key 'colour'"),
        (EVENTS + "[items.columns]\ncolour = 'x'", "unknown key 'colour'.*item_id"),
        (EVENTS + "[limits]\nmax_events = 3", "unknown key 'max_events'"),
        (EVENTS + "[limits]\nmax_events_per_minute = -3", "max_events_per_minute = -3"),
        ("[events.columns]\nuser_id = 'u'\ntype = 't'", "makes no event_time.*order"),
        ("[events.columns]\nevent_time = 'u'\ntype = 't'", "makes no user_id or anonymous_id"),
        (EVENTS + "item_id = { columnz = 'x' }", "needs exactly one of column"),
        (EVENTS + "item_id = { column = 'x', constant = 1 }", "needs exactly one of"),
        (EVENTS + "item_id = { column = 'x', unit = 's' }", "unknown key 'unit' beside column"),
        (EVENTS + "received_time = { time = 'x', unit = 'fortnight' }", "unit 'fortnight'"),
        (EVENTS + "item_id = { order = 'x' }", "order makes event_time only"),
        (EVENTS + "item_id = { join = 'x' }", "list of column names"),
        (
            EVENTS + "item_id = { cases = [{ column = 'x', then = 'y' }], otherwise = 'z' }",
            "below, at_most, equals, matches or missing",
        ),
        (
            EVENTS + "item_id = { cases = [{ column = 'x', matches = '(', then = 'y' }], otherwise = 'z' }",
            "matches = '\\(' is no regular expression",
        ),
        (
            EVENTS
            + "item_id = { cases = [{ column = 'x', equals = 1, then = { columns = 'y' } }], otherwise = '' }",
            "needs exactly one of column",
        ),
        (EVENTS + "item_id = { first = [] }", "list of column names"),
        (EVENTS + "[items]\nfrom_events = true\neach = 'x'", "unknown key 'each'"),
        (EVENTS + "item_id = 7", "is no expression"),
        (
            EVENTS + "[items.columns]\nitem_id = 'i'\nprice = { column = 'x', aggregate = 'mode' }",
            "aggregate 'mode'",
        ),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_value(content: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_mapping(content, name="m")


def test_an_unknown_name_lists_the_builtin_ones() -> None:
    with pytest.raises(UsageError, match=r"no mapping 'movielens'.*movielens-1m"):
        load_mapping("movielens")
