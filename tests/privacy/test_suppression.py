"""The list of whom nothing is stored: seen by every process with its next question, and lifted again."""

import multiprocessing
from pathlib import Path

import pytest

from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tests.streams.embedded import event, open_at


@pytest.fixture
def settings(either: Settings) -> Settings:
    return either


def _suppress(settings: Settings) -> None:
    Suppressions.of(settings).suppress(["user:user-1"], now=5.0)


def test_nobody_is_on_a_list_that_was_never_made(settings: Settings) -> None:
    listed = Suppressions.of(settings)
    assert not listed.refused(["user:a"])
    assert listed.lift("user:a") == 0
    assert not (settings.folder / "privacy" / "suppressed.db").exists()


def test_a_change_of_another_process_is_seen_with_the_next_question(settings: Settings) -> None:
    listed = Suppressions.of(settings)
    assert not listed.refused(["user:user-1"])
    child = multiprocessing.get_context("spawn").Process(target=_suppress, args=(settings,))
    child.start()
    child.join()
    assert listed.refused(["user:user-1", "user:user-2"]) == {"user:user-1"}
    assert listed.since(["user:user-1", "user:user-2"]) == {"user:user-1": 5.0}
    other = Suppressions.of(settings)
    assert other.lift("user:user-1", "user:user-2") == 1
    assert not listed.refused(["user:user-1"])


def test_the_list_is_not_read_where_nothing_changed(settings: Settings) -> None:
    listed = Suppressions.of(settings)
    listed.suppress([f"user:{n}" for n in range(100)], now=1.0)
    assert listed.everybody() is listed.everybody()
    listed.suppress(["user:one-more"], now=2.0)
    assert len(listed.everybody()) == 101


def test_the_first_word_on_somebody_says_since_when(settings: Settings) -> None:
    listed = Suppressions.of(settings)
    listed.suppress(["user:a"], now=1.0)
    listed.suppress(["user:a"], now=2.0)
    assert listed.since(["user:a"]) == {"user:a": 1.0}


def test_a_stream_asks_the_list_within_its_transaction(settings: Settings, tmp_path: Path) -> None:
    listed = Suppressions.of(settings)
    with open_at(tmp_path, refuses=listed.refused) as stream:
        stream.append([event(1), event(2)])
        _suppress(settings)
        assert [each.message_id for each in stream.append([event(4), event(5)]).refused] == ["m4"]
        listed.lift("user:user-1")
        assert len(stream.append([event(4)]).entries) == 1
