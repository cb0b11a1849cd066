"""What waits for the event log is bounded: events that do not fit are refused."""

import socket
import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from serving.writer import GroupWriter, WriterFullError
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import StreamAwayError


def test_events_that_could_not_wait_are_refused_at_once_and_the_others_stored(tmp_path):
    with open_events(load_settings(home=tmp_path)) as event_log:
        writer = GroupWriter(event_log, fold=lambda stored: True, capacity=3)
        busy = sqlite3.connect(event_log.path, isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")  # a disk that stands still
        taken, refusals = [], []
        for n in range(2_000):
            try:
                taken.append(writer.write([Event(f"m{n}", "view", 1.0, 1.0, user_id="u")]))
            except WriterFullError as error:
                refusals.append(error.what)
        busy.execute("ROLLBACK")
        busy.close()
        assert sum(each.result(timeout=30).accepted for each in taken) == len(taken) == event_log.end()[0]
        assert refusals
        assert all("3 may" in refusal for refusal in refusals)
        many = [Event(f"n{n}", "view", 1.0, 1.0, user_id="u") for n in range(9)]
        assert (
            writer.write(many).result(timeout=30).accepted == 9
        )  # a batch beyond the bound, when nothing waits
        writer.close()


def test_a_producer_meets_its_broker_before_there_is_an_event(tmp_path):
    with socket.socket() as broker:
        broker.bind(("127.0.0.1", 0))
        broker.listen()
        broker.settimeout(30)
        events = f"kafka://127.0.0.1:{broker.getsockname()[1]}/x"
        with open_events(load_settings(home=tmp_path, events=events)) as stream:
            writer = GroupWriter(stream, fold=lambda stored: True)
            broker.accept()[0].close()
            writer.close()


def test_settings_that_no_producer_takes_are_said_by_the_append(tmp_path):
    (tmp_path / "no.pem").write_text("no certificate")
    events = f"kafka://127.0.0.1:9/x?ca={tmp_path}/no.pem"
    with open_events(load_settings(home=tmp_path, events=events)) as stream:
        writer = GroupWriter(stream, fold=lambda stored: True)
        with pytest.raises(TailorbirdError):
            writer.write([view(1)]).result(timeout=30)
        writer.close()


def test_everybody_who_waits_hears_at_once_that_the_log_is_locked(tmp_path):
    with SqliteStream(tmp_path / "e.db", EVENTS, archive=tmp_path / "archive", wait_seconds=0.5) as stream:
        writer = GroupWriter(stream, fold=lambda stored: True)
        busy = sqlite3.connect(stream.path, isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        waiting = [writer.write([view(n)]) for n in range(200)]
        for each in waiting:
            with pytest.raises(StreamAwayError, match="locked"):
                each.result(timeout=60)
        waited = time.monotonic() - started
        busy.execute("ROLLBACK")
        busy.close()
        assert waited < 200 * 0.5 / 10  # one after the other: 200 times half a second
        assert writer.write([view(1)]).result(timeout=30).accepted == 1
        assert stream.end()[0] == 1
        writer.close()


def test_one_callers_bad_record_fails_that_caller_alone(tmp_path):
    with open_events(load_settings(home=tmp_path)) as stream:
        gate = threading.Event()
        writer = GroupWriter(stream, fold=lambda stored: gate.wait(30))
        first = writer.write([view(1_000)])  # held, so that the others become one batch
        bad = {7, 63}
        waiting = {n: writer.write([replace(view(n), position=2**70 if n in bad else 1)]) for n in range(100)}
        gate.set()
        assert first.result(timeout=30).accepted == 1
        for n, each in waiting.items():
            if n in bad:
                with pytest.raises(UsageError, match="cannot be stored"):
                    each.result(timeout=30)
            else:
                assert each.result(timeout=30).accepted == 1
        assert stream.end()[0] == 99
        writer.close()


def view(n):
    return Event(f"m{n}", "view", 1.0, 1.0, user_id="u")


def test_events_that_come_after_the_end_are_refused_and_those_before_it_stored(tmp_path):
    with open_events(load_settings(home=tmp_path)) as stream:
        writer = GroupWriter(stream, fold=lambda stored: True)
        before = [writer.write([view(n)]) for n in range(20)]
        writer.close()
        with pytest.raises(TailorbirdError, match="cannot store any more"):
            writer.write([view(99)])
        assert [each.result(timeout=30).accepted for each in before] == [1] * 20
        assert stream.end()[0] == 20


def test_nobody_waits_for_ever_while_the_writer_ends(tmp_path):
    with open_events(load_settings(home=tmp_path)) as stream:
        writer = GroupWriter(stream, fold=lambda stored: True)
        taken, refused = [], []

        def keep_writing(start):
            for n in range(start, start + 20_000):
                try:
                    taken.append(writer.write([view(n)]))
                except WriterFullError:
                    continue
                except TailorbirdError:
                    refused.append(n)
                    return

        callers = [threading.Thread(target=keep_writing, args=(n * 100_000,)) for n in range(4)]
        for each in callers:
            each.start()
        time.sleep(0.02)
        writer.close()
        for each in callers:
            each.join()
        assert len(refused) == 4
        assert all(each.result(timeout=30).accepted == 1 for each in taken)
