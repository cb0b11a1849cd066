"""The laws of an event log: every implementation has a test class that inherits these."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from tailorbird.errors import UsageError
from tailorbird.events.log import EventLog
from tailorbird.events.schema import Event


def event(number: int, *, message_id: str | None = None, **changes: object) -> Event:
    """A click that is told apart by its number."""
    values: dict[str, object] = {
        "message_id": f"m{number}" if message_id is None else message_id,
        "type": "click",
        "event_time": 1_700_000_000.0 + 3600.0 * number + 0.000001 * number,
        "received_time": 1_700_000_001.5 + 3600.0 * number,
        "user_id": f"user-{number % 3}",
        "item_id": f"item-{number % 5}",
    }
    return Event(**{**values, **changes})  # type: ignore[arg-type]


def frame_of(events: list[Event]) -> pd.DataFrame:
    """The same events as a frame with SCHEMA's columns."""
    frame = pd.DataFrame(
        [
            {name: getattr(one, name) for name in ("message_id", "type", "user_id", "item_id")}
            for one in events
        ]
    )
    for column in ("event_time", "received_time"):
        seconds = pd.Series([getattr(one, column) for one in events], dtype=float)
        frame[column] = pd.to_datetime((seconds * 1e6).round().astype("int64"), unit="us", utc=True)
    return frame


class EventLogLaws:
    """Inherit, and implement ``open`` so that opening twice finds the same events."""

    log_class: ClassVar[type]

    def open(self, folder: Path) -> EventLog:
        raise NotImplementedError

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[EventLog]:
        log = self.open(tmp_path)
        yield log
        log.close()

    def test_a_new_log_is_empty(self, log: EventLog) -> None:
        assert log.last_offset() == 0
        assert log.read(0, 10) == []

    def test_events_return_as_they_were_appended(self, log: EventLog) -> None:
        full = event(
            1,
            anonymous_id="anon",
            session_id="s",
            recommendation_id="r",
            position=3,
            value=9.75,
            context={"device": "mobile", "consent": {"analytics": True}},
            properties={"query": "tent ⛺", "n": [1, 2]},
        )
        bare = event(2, user_id=None, anonymous_id="a", item_id=None)
        appended = log.append([full, bare])
        assert appended.accepted == [full, bare]
        assert appended.offsets == [1, 2]
        assert log.read(0, 10) == [(1, full), (2, bare)]

    def test_a_message_id_is_accepted_once(self, log: EventLog) -> None:
        log.append([event(1)])
        again = log.append([event(1, type="view"), event(2), event(2, type="view")])
        assert again.accepted == [event(2)]
        assert again.offsets == [2]
        assert again.duplicates == 2
        assert [stored for _, stored in log.read(0, 10)] == [event(1), event(2)]

    def test_offsets_count_without_holes(self, log: EventLog) -> None:
        log.append([event(number) for number in range(5)])
        log.append([event(number) for number in range(3, 9)])
        assert [offset for offset, _ in log.read(0, 100)] == list(range(1, 10))
        assert log.last_offset() == 9

    def test_reading_goes_on_after_an_offset(self, log: EventLog) -> None:
        log.append([event(number) for number in range(10)])
        assert [offset for offset, _ in log.read(4, 3)] == [5, 6, 7]
        assert log.read(10, 3) == []
        assert log.read(3, 0) == []

    def test_an_event_without_a_name_or_a_user_is_refused_with_its_batch(self, log: EventLog) -> None:
        for bad in (event(2, message_id=""), event(2, user_id=None), event(2, event_time=float("nan"))):
            with pytest.raises(UsageError):
                log.append([event(1), bad])
        assert log.last_offset() == 0

    def test_events_outlive_the_process_object(self, log: EventLog, tmp_path: Path) -> None:
        log.append([event(1)])
        log.close()
        log.close()
        again = self.open(tmp_path)
        assert again.read(0, 10) == [(1, event(1))]
        assert again.append([event(1)]).duplicates == 1
        again.close()

    def test_a_frame_and_single_events_store_the_same(self, log: EventLog) -> None:
        events = [event(number) for number in range(20)]
        log.append(events[:5])
        heard: list[int] = []
        stored = log.append_frame(frame_of([*events, events[0]]), on_rows=heard.append)
        assert (stored.accepted, stored.duplicates) == (15, 6)
        assert sum(heard) == 20
        assert log.read(0, 100) == list(enumerate(events, start=1))

    def test_nothing_is_nothing(self, log: EventLog) -> None:
        assert log.append([]).accepted == []
        assert log.append_frame(frame_of([event(1)]).head(0)).accepted == 0
        assert log.last_offset() == 0
