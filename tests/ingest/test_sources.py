import datetime as dt
import decimal
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.events.schema import SCHEMA
from tailorbird.ingest.mapping import identity_mapping, load_mapping, parse_mapping
from tailorbird.ingest.sources import Tables, read_tables, without_ties
from tailorbird.simulator.shop import Shop

NOON = 1_600_000_000


def read(folder: Path, raw: pd.DataFrame, columns: str, more: str = "") -> Tables:
    raw.to_parquet(folder / "events.parquet", index=False)
    return read_tables(
        parse_mapping(f"[events.columns]\n{columns}\n{more}", name="toy"), events=folder / "events.parquet"
    )


PLAIN = """
type = { constant = "click" }
user_id = "u"
item_id = "i"
event_time = { time = "t", unit = "s" }
"""


def raw(count: int, **columns) -> pd.DataFrame:
    return pd.DataFrame({"u": range(count), "i": "x", "t": NOON + np.arange(count), **columns})


def test_columns_become_the_schema(tmp_path: Path) -> None:
    tables = read(tmp_path, raw(2, stars=[4, 5]), PLAIN + 'value = "stars"')
    assert list(tables.events.columns) == SCHEMA.names
    first = tables.events.iloc[0]
    assert (first["type"], first["user_id"], first["item_id"], first["value"]) == ("click", "0", "x", 4.0)
    assert first["event_time"] == first["received_time"] == pd.Timestamp(NOON, unit="s", tz="UTC")
    assert tables.items.item_ids.tolist() == ["x"]
    assert not tables.ordered_only


def test_whole_float_ids_lose_their_point_and_missing_ones_are_none(tmp_path: Path) -> None:
    events = read(tmp_path, raw(3, u=[17850.0, np.nan, 2.5]), PLAIN).events
    assert events["user_id"].tolist() == ["17850", None, "2.5"]


def test_a_basket_is_made_of_customer_and_minute_and_guests_stay_apart(tmp_path: Path) -> None:
    lines = pd.DataFrame(
        {
            "Description": ["CUP", "CUP", "LAMP", "LAMP"],
            "Quantity": [2, -1, 3, 5],
            "InvoiceDate": pd.to_datetime(
                ["2011-01-01 10:00", "2011-01-02 11:00", "2011-01-02 12:00", "2011-01-03 09:00"]
            ),
            "UnitPrice": [2.5, 2.5, 0.0, 4.0],
            "CustomerID": [1.0, 1.0, np.nan, np.nan],
            "Country": ["UK", "UK", "FR", "FR"],
        }
    )
    lines.to_parquet(tmp_path / "transactions.parquet")
    tables = read_tables(load_mapping("online-retail"), path=tmp_path)
    events = tables.events
    assert events["type"].tolist() == ["purchase", "return", "adjustment", "purchase"]
    assert events["user_id"].tolist() == ["1", "1", None, None]
    assert events["anonymous_id"].tolist() == [
        None,
        None,
        "guest 2011-01-02 12:00:00 FR",
        "guest 2011-01-03 09:00:00 FR",
    ]
    assert events["session_id"].tolist()[:2] == ["1 @ 2011-01-01 10:00:00", "1 @ 2011-01-02 11:00:00"]
    assert events["value"].tolist() == [5.0, -2.5, 0.0, 20.0]
    assert json.loads(events["properties"].iloc[0]) == {"quantity": 2, "unit_price": 2.5}
    assert tables.items.items[["item_id", "price"]].to_dict("list") == {
        "item_id": ["CUP", "LAMP"],
        "price": [2.5, 4.0],
    }
    assert tables.users.users[["user_id", "country"]].to_dict("list") == {"user_id": ["1"], "country": ["UK"]}


def test_order_becomes_seconds_from_a_fixed_day(tmp_path: Path) -> None:
    columns = PLAIN.replace('{ time = "t", unit = "s" }', '{ order = "p" }')
    tables = read(tmp_path, raw(3, u=[1, 1, 2], p=[1, 0, 0]), columns)
    assert tables.ordered_only
    assert tables.events["event_time"].astype(str).tolist() == [
        "2000-01-01 00:00:01+00:00",
        "2000-01-01 00:00:00+00:00",
        "2000-01-01 00:00:00+00:00",
    ]


def test_order_of_rows_counts_for_each_user(tmp_path: Path) -> None:
    columns = PLAIN.replace('{ time = "t", unit = "s" }', '{ order = "row" }')
    events = read(tmp_path, raw(4, u=[1, 2, 1, 2]), columns).events
    assert events["event_time"].dt.second.tolist() == [0, 0, 1, 1]


def test_equal_times_of_a_user_move_apart_in_file_order(tmp_path: Path) -> None:
    events = read(tmp_path, raw(4, u=[1, 1, 2, 1], t=[NOON] * 4), PLAIN).events
    assert events["event_time"].dt.microsecond.tolist() == [0, 1, 0, 2]


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1, max_size=40))
def test_without_ties_each_user_has_one_order_and_nobody_moves_far(pairs: list[tuple[int, int]]) -> None:
    users = pd.Series([f"u{user}" for user, _ in pairs])
    before = pd.Series(pd.to_datetime([micro for _, micro in pairs], unit="us", utc=True)).astype(
        "datetime64[us, UTC]"
    )
    after = without_ties(before, users)
    moved = (after - before).dt.total_seconds() * 1e6
    assert moved.between(0, len(pairs)).all()
    for user in users.unique():
        old, new = before[users == user], after[users == user]
        assert new.is_unique
        assert new.argsort().tolist() == old.argsort(kind="stable").tolist()


def test_the_same_content_gives_the_same_ids_and_a_longer_file_keeps_them(tmp_path: Path) -> None:
    short = read(tmp_path, raw(3, u=[1, 1, 2], t=[NOON, NOON, NOON]), PLAIN).events["message_id"]
    long = read(tmp_path, raw(4, u=[1, 1, 2, 3], t=[NOON, NOON, NOON, NOON]), PLAIN).events["message_id"]
    assert short.is_unique
    assert long.tolist()[:3] == short.tolist()
    assert long.is_unique


def test_csv_and_parquet_of_the_same_rows_give_the_same_events(tmp_path: Path) -> None:
    frame = raw(3, stars=[4.0, np.nan, 5.0])
    mapping = parse_mapping("[events.columns]\n" + PLAIN + 'value = "stars"', name="toy")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    tables = [
        read_tables(mapping, events=tmp_path / f"a.{suffix}").events for suffix in ("parquet", "csv", "jsonl")
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


def test_values_that_do_not_fit_stay_as_they_were_found(tmp_path: Path) -> None:
    columns = PLAIN.replace(', unit = "s"', "") + 'value = "stars"'
    frame = raw(3, t=["2020-09-13T12:00:00Z", "soon", "2020-09-13 14:00"], stars=["4", "many", "5"])
    events = read(tmp_path, frame, columns).events
    assert events["event_time"].tolist()[1] == "soon"
    assert events["value"].tolist() == ["4", "many", "5"]
    assert pd.Timestamp(events["event_time"].iloc[2]) == pd.Timestamp("2020-09-13 14:00", tz="UTC")


def test_numbers_without_a_unit_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"column 't' holds numbers.*unit"):
        read(tmp_path, raw(1), PLAIN.replace(', unit = "s"', ""))


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column 'film'.*u, i, t"):
        read(tmp_path, raw(1), PLAIN.replace('item_id = "i"', 'item_id = "film"'))


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)]
)
def test_units_of_time(tmp_path: Path, unit: str, factor: int) -> None:
    events = read(tmp_path, raw(2, t=[NOON * factor, None]), PLAIN.replace('"s"', f'"{unit}"')).events
    assert events["event_time"].iloc[0] == pd.Timestamp(NOON, unit="s", tz="UTC")
    assert pd.isna(events["event_time"].iloc[1])


def test_lists_and_texts_and_attributes_make_items(tmp_path: Path) -> None:
    raw(1).to_parquet(tmp_path / "events.parquet")
    pd.DataFrame(
        {
            "film": [7, 8],
            "genres": ["Drama| Comedy|", None],
            "cast": [["A B", "C"], None],
            "plot": ["Long ago", None],
            "year": [1999, None],
        }
    ).to_parquet(tmp_path / "items.parquet")
    more = """
[items.columns]
item_id = "film"
categories = { split = "genres" }
text = { join = ["plot", "cast"] }
attributes = { json = { year = "year" } }
brand = { constant = "studio" }
"""
    mapping = parse_mapping("[events.columns]\n" + PLAIN + more, name="toy")
    items = read_tables(
        mapping, events=tmp_path / "events.parquet", items=tmp_path / "items.parquet"
    ).items.items
    assert items["item_id"].tolist() == ["7", "8"]
    assert items["categories"].tolist() == [["Drama", "Comedy"], []]
    assert items["text"].tolist() == ["Long ago A B C", ""]
    assert [json.loads(text) for text in items["attributes"]] == [{"year": 1999.0}, {}]


def test_files_with_our_own_names_need_no_mapping(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(
        '{"message_id": "m1", "type": "view", "anonymous_id": "a", "item_id": 5, "event_time": "2024-05-01T10:00:00+02:00",'
        ' "context": {"device": "mobile"}}\n'
    )
    (tmp_path / "i.csv").write_text("item_id,title,launched_at\n5,Cup,2024-01-01\n")
    tables = read_tables(identity_mapping(), events=tmp_path / "e.jsonl", items=tmp_path / "i.csv")
    event = tables.events.iloc[0]
    assert (event["message_id"], event["item_id"], event["context"]) == ("m1", "5", '{"device":"mobile"}')
    assert event["event_time"] == pd.Timestamp("2024-05-01 08:00", tz="UTC")
    assert tables.items.items["launched_at"].tolist() == [1_704_067_200.0]


def test_a_table_in_another_format_is_found_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "message_id,type,user_id,item_id,event_time\nm,click,u,i,2024-01-01\n"
    )
    with pytest.raises(UsageError, match=r"no file .*items\.parquet"):
        read_tables(load_mapping("shop"), path=tmp_path)
    (tmp_path / "items.jsonl").write_text('{"item_id": "i", "title": "Cup"}\n')
    (tmp_path / "users.csv").write_text("user_id,age\nu,40\n")
    tables = read_tables(load_mapping("shop"), path=tmp_path)
    assert len(tables.events) == 1
    assert tables.items.items["title"].tolist() == ["Cup"]
    assert tables.users.users["age"].tolist() == [40.0]


def test_a_missing_folder_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_tables(load_mapping("shop"), path=tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no file .*events\.parquet"):
        read_tables(load_mapping("shop"), path=tmp_path)
    with pytest.raises(UsageError, match="no events given"):
        read_tables(identity_mapping())


def test_ids_that_went_through_floats_in_a_csv_are_whole_again(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(f"u,i,t\n17850.0,007,{NOON}\n,10002.5,{NOON}\n")
    mapping = parse_mapping("[events.columns]\n" + PLAIN, name="toy")
    events = read_tables(mapping, events=tmp_path / "events.csv").events
    assert events["user_id"].tolist() == ["17850", None]
    assert events["item_id"].tolist() == ["007", "10002.5"]


def test_numbers_in_a_csv_without_a_unit_are_not_guessed_either(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(f"u,i,t\n1,x,{NOON}\n")
    mapping = parse_mapping("[events.columns]\n" + PLAIN.replace(', unit = "s"', ""), name="toy")
    with pytest.raises(UsageError, match=r"column 't' holds numbers"):
        read_tables(mapping, events=tmp_path / "events.csv")


def test_attributes_of_a_csv_are_numbers_unless_zeros_lead(tmp_path: Path) -> None:
    raw(1).to_parquet(tmp_path / "events.parquet")
    (tmp_path / "items.csv").write_text("i,year,zip\nx,1999,01234\ny,2001,99999\n")
    mapping = parse_mapping(
        "[events.columns]\n"
        + PLAIN
        + "[items.columns]\nitem_id = 'i'\nattributes = { json = ['year', 'zip'] }",
        name="toy",
    )
    items = read_tables(mapping, events=tmp_path / "events.parquet", items=tmp_path / "items.csv").items.items
    assert json.loads(items["attributes"].iloc[0]) == {"year": 1999, "zip": "01234"}


@pytest.mark.parametrize("kind", ["date", "decimal", "bytes", "tz", "nested", "bool"])
def test_unusual_column_types_are_read_without_a_crash(tmp_path: Path, kind: str) -> None:
    odd = {
        "date": {"t": [dt.date(2020, 9, 13)]},
        "decimal": {"i": [decimal.Decimal("7")], "t": ["2020-09-13"]},
        "bytes": {"i": [b"x"], "t": ["2020-09-13"]},
        "tz": {"t": pd.to_datetime(["2020-09-13"]).tz_localize("Europe/Berlin")},
        "nested": {"i": [{"id": 1}], "t": ["2020-09-13"]},
        "bool": {"i": [True], "t": ["2020-09-13"]},
    }[kind]
    events = read(tmp_path, raw(1).assign(**odd), PLAIN.replace(', unit = "s"', "")).events
    assert isinstance(events["item_id"].iloc[0], str)
    expected = pd.Timestamp("2020-09-12 22:00" if kind == "tz" else "2020-09-13", tz="UTC")
    assert pd.Timestamp(events["event_time"].iloc[0]) == expected


def test_a_header_without_rows_gives_no_events(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("u,i,t\n")
    tables = read_tables(
        parse_mapping("[events.columns]\n" + PLAIN, name="toy"), events=tmp_path / "events.csv"
    )
    assert len(tables.events) == len(tables.items) == 0


def test_a_shop_in_csv_is_the_same_shop(tmp_path: Path) -> None:
    shop = Shop.make(30, 1)
    shop.write(tmp_path / "parquet")
    (tmp_path / "csv").mkdir()
    shop.events().to_csv(tmp_path / "csv" / "events.csv", index=False)
    items = shop.catalog.items.assign(categories=shop.catalog.items["categories"].map(json.dumps))
    items.to_csv(tmp_path / "csv" / "items.csv", index=False)
    shop.users.users.to_csv(tmp_path / "csv" / "users.csv", index=False)
    one, other = (read_tables(load_mapping("shop"), path=tmp_path / name) for name in ("parquet", "csv"))
    pd.testing.assert_frame_equal(one.events, other.events)
    pd.testing.assert_frame_equal(one.items.items, other.items.items)
    pd.testing.assert_frame_equal(one.users.users, other.users.users)


def test_values_that_say_nothing_leave_the_item_and_are_counted(tmp_path: Path) -> None:
    raw(1).to_parquet(tmp_path / "events.parquet")
    (tmp_path / "items.csv").write_text(
        "item_id,title,price,categories,attributes,launched_at\nx,Cup,free,[NEW] Shoes,{broken,soon\n"
        'y,Pan,4.5,"[""a"", ""b""]","{""kg"": 2}",2024-01-01\n'
    )
    (tmp_path / "users.csv").write_text("user_id,age\n0,thirty\n")
    mapping = parse_mapping("[events.columns]\n" + PLAIN, name="toy")
    tables = read_tables(
        mapping,
        events=tmp_path / "events.parquet",
        items=tmp_path / "items.csv",
        users=tmp_path / "users.csv",
    )
    assert tables.lost_values == {
        "items": {"price": 1, "launched_at": 1, "attributes": 1},
        "users": {"age": 1},
    }
    cup, pan = tables.items.items.to_dict("records")
    assert (cup["title"], cup["categories"], cup["attributes"]) == ("Cup", ["[NEW] Shoes"], "{}")
    assert np.isnan(cup["price"])
    assert (pan["price"], pan["categories"], pan["launched_at"]) == (4.5, ["a", "b"], 1_704_067_200.0)
