"""Both doors hold one contract: what one refuses the other refuses, and what both take becomes the same event."""

import datetime as dt

import orjson
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from serving.collect.door import check
from tailorbird.events.contract import EARLIEST, as_sent
from tailorbird.events.rows import EVENTS, table_of_frame
from tailorbird.events.validation import validate

NOW = 1_700_000_000.0
COLUMNS = {
    "messageId": "message_id",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "itemId": "item_id",
    "timestamp": "event_time",
}
ids = st.one_of(st.none(), st.sampled_from(["a", "b", "x" * 256, "x" * 257]))
objects = st.one_of(
    st.none(), st.sampled_from([{"device": "mobile"}, {"n": [[[[[[[[[1]]]]]]]]]}, {"t": "x" * 20_000}, {}])
)
events = st.fixed_dictionaries(
    {
        "messageId": ids,
        "type": st.sampled_from(
            ["view", "search", "VIEW", "rating", "opened_newsletter", "segment_move", "", "hide\n"]
        ),
        "userId": ids,
        "anonymousId": ids,
        "itemId": ids,
        "position": st.one_of(st.none(), st.integers(-2, 2), st.just(2**40)),
        "value": st.one_of(st.none(), st.floats(-5, 5), st.integers(0, 5), st.integers(-(2**70), 2**70)),
        "timestamp": st.one_of(
            st.floats(EARLIEST - 100, EARLIEST + 100),
            st.floats(NOW - 400, NOW + 400),
        ).map(lambda seconds: dt.datetime.fromtimestamp(round(seconds, 3), dt.UTC).isoformat()),
        "context": objects,
        "properties": objects,
    }
)


def as_frame(raw: dict[str, object]) -> pd.DataFrame:
    """The same event as a file would bring it."""
    row = {COLUMNS.get(name, name): value for name, value in raw.items()}
    for column in ("context", "properties"):
        row[column] = None if row[column] is None else orjson.dumps(row[column]).decode()
    return pd.DataFrame({column: pd.Series([value], dtype=object) for column, value in row.items()})


@given(events)
def test_both_doors_decide_alike(raw: dict[str, object]) -> None:
    live = check([raw], now=NOW, known_items={"a", "b", "x" * 256})
    filed = validate(as_frame(raw), catalog_ids={"a", "b", "x" * 256, "x" * 257}, now=NOW)
    assert len(live.kept) == len(filed.accepted), (live.rejected, filed.reasons)
    if live.kept:
        (row,) = EVENTS.rows_of_table(table_of_frame(filed.accepted))
        brought, (sent,) = EVENTS.from_row(row), as_sent(live.kept)
        assert abs(min(brought.event_time, NOW) - sent.event_time) < 1e-3
        same = ("message_id", "type", "user_id", "anonymous_id", "item_id", "position", "value", "context")
        assert [getattr(brought, name) for name in same] == [getattr(sent, name) for name in same]


def test_a_clock_that_is_wrong_is_wrong_by_the_same_amount_everywhere() -> None:
    batch = [
        {"messageId": str(n), "type": "view", "userId": "ann", "itemId": "a", "timestamp": stamp}
        for n, stamp in enumerate(["2030-01-01T00:00:00Z", "2030-01-01T00:00:10Z"])
    ]
    sent_at = dt.datetime(2030, 1, 1, 0, 1, tzinfo=dt.UTC).timestamp()
    first, second = check(batch, now=NOW, known_items={"a"}, sent_at=sent_at).kept
    assert (first.event_time, second.event_time) == (NOW - 60, NOW - 50)
    assert first.received_time == second.received_time == NOW
    unmoved = check(batch, now=NOW, known_items={"a"})
    assert ["future time" in each["reason"] for each in unmoved.rejected] == [True, True]


def test_nobody_forges_a_move() -> None:
    move = {"messageId": "m", "type": "segment_move", "userId": "ann"}
    checked = check([move], now=NOW, known_items=())
    assert checked.rejected == [{"index": 0, "reason": "/type: segment_move is written by the platform"}]
    assert checked.kept == []
