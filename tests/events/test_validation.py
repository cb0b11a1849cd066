import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tailorbird.events.anomalies import find_anomalies
from tailorbird.events.contract import Fields, faults_of
from tailorbird.events.rows import table_of_frame
from tailorbird.events.schema import SCHEMA
from tailorbird.events.validation import validate
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_events

NOW = 1_700_000_000.0
ITEMS = {"a", "b", "c"}


def rows(count: int, **columns) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "message_id": [f"m{number}" for number in range(count)],
            "type": "click",
            "user_id": [f"user-{number % 7}" for number in range(count)],
            "item_id": [sorted(ITEMS)[number % 3] for number in range(count)],
            "event_time": pd.to_datetime(NOW - 86_400 + 60.0 * np.arange(count), unit="s", utc=True),
        }
    )
    frame["received_time"] = frame["event_time"]
    for name, values in columns.items():
        frame[name] = values
    return frame


def nested(levels: int) -> str:
    """A JSON object in which objects and lists lie within each other, ``levels`` of them with the outermost."""
    return '{"a":' * (levels - 2) + '{"a":[]}' + "}" * (levels - 2)


def reason_of(frame: pd.DataFrame, **options) -> str:
    """The reason of the second of three rows, the only bad one."""
    validated = validate(frame, catalog_ids=ITEMS, now=NOW, **options)
    assert validated.accepted.index.tolist() == [0, 2]
    assert validated.quarantined["row"].tolist() == [1]
    return validated.quarantined["reason"].iloc[0]


def test_good_rows_pass_with_the_schemas_types() -> None:
    validated = validate(rows(5), catalog_ids=ITEMS, now=NOW)
    assert len(validated.accepted) == 5
    assert list(validated.accepted.columns) == SCHEMA.names
    assert str(validated.accepted["event_time"].dtype) == "datetime64[us, UTC]"
    assert validated.accepted["value"].dtype == float
    assert validated.quarantined.empty
    assert validated.reasons == {}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("message_id", None, "missing message_id"),
        ("message_id", "x" * 257, "long message_id"),
        ("message_id", "m0", "duplicate message_id: m0"),
        ("message_id", 7, "wrong type: message_id 7"),
        ("type", "Click!", "bad type: 'Click!'"),
        ("type", None, "missing type"),
        ("type", "segment_move", "segment_move is written by the platform"),
        ("type", "device_login", "device_login is written by the platform"),
        ("user_id", None, "missing user_id and anonymous_id"),
        ("user_id", 12.5, "wrong type: user_id 12.5"),
        ("item_id", "no-such-item", "unknown item: 'no-such-item'"),
        ("item_id", None, "missing item_id"),
        ("event_time", None, "missing event_time"),
        ("event_time", "yesterday", "bad time: event_time 'yesterday'"),
        ("event_time", pd.Timestamp("1970-01-01", tz="UTC"), "bad time: before 1990"),
        (
            "event_time",
            pd.Timestamp(NOW + 301, unit="s", tz="UTC"),
            "future time: '2023-11-14T22:18:21+00:00'",
        ),
        ("position", -1, "bad position: -1.0"),
        ("position", 1.5, "bad position: 1.5"),
        ("position", "first", "wrong type: position 'first'"),
        ("value", "cheap", "wrong type: value 'cheap'"),
        ("value", float("inf"), "bad value: inf"),
        ("context", "{broken", "bad context: '{broken'"),
        ("context", "[1]", "bad context: '[1]'"),
        ("context", nested(9), "bad context: '{"),
        ("properties", nested(9), "bad properties: '{"),
        ("properties", 5, "wrong type: properties 5"),
    ],
)
def test_a_bad_value_is_quarantined_with_its_reason(column: str, value: object, reason: str) -> None:
    frame = rows(3)
    values = list(frame[column]) if column in frame else [None] * 3
    values[1] = value
    frame[column] = pd.Series(values, dtype=object)
    assert reason in reason_of(frame)


def test_an_object_of_eight_levels_is_the_deepest_that_is_fine() -> None:
    frame = rows(2, context=[nested(8), json.dumps({})], properties=nested(8))
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW).accepted) == 2
    event = Fields("m", "click", "u", item_id="a", event_time=NOW)
    for levels, faults in ((8, []), (9, ["bad context"])):
        context = json.loads(nested(levels))
        assert [each.what for each in faults_of(event._replace(context=context), now=NOW)] == faults


def test_a_bad_row_does_not_take_the_id_of_a_good_one() -> None:
    frame = rows(3, message_id=["m", "m", "m"], item_id=["zz", "a", "b"])
    validated = validate(frame, catalog_ids=ITEMS, now=NOW)
    assert validated.accepted.index.tolist() == [1]
    assert validated.reasons == {"unknown item": 1, "duplicate message_id": 1}


def test_an_event_without_arrival_counts_as_prompt() -> None:
    accepted = validate(rows(2, received_time=None), catalog_ids=ITEMS, now=NOW).accepted
    assert (accepted["received_time"] == accepted["event_time"]).all()


def test_a_row_with_two_faults_names_both() -> None:
    frame = rows(3, item_id=["a", "zz", "b"], value=pd.Series([1.0, "dear", 2.0], dtype=object))
    reason = reason_of(frame)
    assert "wrong type: value 'dear'" in reason
    assert "unknown item: 'zz'" in reason


def test_a_little_ahead_of_our_clock_is_fine() -> None:
    frame = rows(1, event_time=pd.to_datetime([NOW + 299], unit="s", utc=True))
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW).accepted) == 1


def test_a_search_or_a_custom_event_needs_no_item() -> None:
    frame = rows(3, type=["search", "newsletter_opened", "scroll"], item_id=None)
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW).accepted) == 3


def test_an_anonymous_user_is_a_user() -> None:
    assert len(validate(rows(3, user_id=None, anonymous_id="x"), catalog_ids=ITEMS, now=NOW).accepted) == 3


def test_a_robot_is_quarantined_and_its_calm_hours_are_not() -> None:
    calm = rows(20, user_id="robot")
    burst = rows(50, user_id="robot")
    burst["message_id"] = [f"burst-{number}" for number in range(50)]
    burst["event_time"] = pd.to_datetime(NOW - 40_000 + np.arange(50.0), unit="s", utc=True)
    human = rows(20, user_id="human")
    human["message_id"] = [f"human-{number}" for number in range(20)]
    frame = pd.concat([calm, burst, human], ignore_index=True)
    validated = validate(frame, catalog_ids=ITEMS, now=NOW, max_events_per_minute=40)
    assert validated.reasons == {"impossible rate": 50}
    assert set(validated.quarantined["row"]) == set(range(20, 70))
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW, max_events_per_minute=0).accepted) == 90


def test_exactly_the_limit_is_no_robot() -> None:
    frame = rows(
        40, user_id="keen", event_time=pd.to_datetime(NOW - 1000 + np.arange(40.0), unit="s", utc=True)
    )
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW, max_events_per_minute=40).accepted) == 40
    assert len(validate(frame, catalog_ids=ITEMS, now=NOW, max_events_per_minute=39).quarantined) == 40


def test_the_raw_row_is_kept_beside_the_reason() -> None:
    raw = pd.DataFrame({"movie": ["a", "zz", "b"], "stars": [1, 2, 3]})
    validated = validate(rows(3, item_id=["a", "zz", "b"]), catalog_ids=ITEMS, now=NOW, raw=raw)
    assert json.loads(validated.quarantined["raw"].iloc[0]) == {"movie": "zz", "stars": 2}


def test_no_rows_and_no_items_are_no_crash() -> None:
    assert validate(rows(0), catalog_ids=ITEMS, now=NOW).accepted.empty
    assert validate(rows(3), catalog_ids=set(), now=NOW).reasons == {"unknown item": 3}
    assert len(validate(pd.DataFrame({"whatever": [1, 2]}), catalog_ids=ITEMS, now=NOW).quarantined) == 2


def test_oddities_are_reported_and_kept() -> None:
    frame = rows(400)
    frame["item_id"] = [f"i{number % 40}" if number % 2 else "hit" for number in range(400)]
    frame["user_id"] = [f"u{number % 60}" if number % 3 else "scraper" for number in range(400)]
    frame["value"] = [1_000_000.0 if number == 7 else float(number % 9) for number in range(400)]
    frame["event_time"] = pd.to_datetime(
        NOW - 86_400 * np.where(np.arange(400) < 330, 9, np.arange(400) % 9), unit="s", utc=True
    )
    catalog = {"hit", *(f"i{number}" for number in range(80))}
    validated = validate(frame, catalog_ids=catalog, now=NOW)
    assert len(validated.accepted) == 400
    found = {anomaly.kind: anomaly for anomaly in find_anomalies(validated.accepted, catalog_ids=catalog)}
    assert set(found) == {
        "dominant item",
        "dominant user",
        "loud day",
        "late events",
        "untouched items",
        "outlying values",
    }
    assert found["dominant item"].value == pytest.approx(0.5)
    assert "'user:scraper'" in found["dominant user"].message


def test_ordinary_events_raise_no_anomaly() -> None:
    frame = rows(400)
    frame["received_time"] = frame["event_time"]
    assert find_anomalies(validate(frame, catalog_ids=ITEMS, now=NOW).accepted, catalog_ids=ITEMS) == []


MESS = st.one_of(
    st.none(),
    st.integers(-5, 10**12),
    st.floats(),
    st.sampled_from(
        ["", "a", "b", "click", "m1", "m2", "zz", "{}", "{x", "2023-11-01T00:00:00Z", "2093-01-01", "nan"]
    ),
    st.booleans(),
    st.just(["a"]),
)


@hypothesis_settings(max_examples=30, deadline=None)
@given(mess=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(SCHEMA.names, MESS)), max_size=8))
def test_every_row_is_accepted_or_quarantined_whatever_it_holds(
    mess: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame = pd.DataFrame(
        [{name: row.get(name) for name in SCHEMA.names} for row in mess], columns=SCHEMA.names, dtype=object
    )
    good = rows(2)
    frame = pd.concat([frame, good.reindex(columns=SCHEMA.names).astype(object)], ignore_index=True)
    validated = validate(frame, catalog_ids=ITEMS, now=NOW)
    rejected = validated.quarantined["row"].tolist()
    assert sorted([*validated.accepted.index, *rejected]) == list(range(len(frame)))
    assert validated.quarantined["reason"].str.len().gt(0).all()
    # What validation accepts, the log stores, every row of it.
    with open_events(load_settings(home=tmp_path_factory.mktemp("log"))) as log:
        assert log.append_table(table_of_frame(validated.accepted)).stored == len(validated.accepted)
