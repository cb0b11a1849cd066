"""Exposures wait in a bounded queue: what does not fit is counted."""

import threading

from serving.writer import ExposureWriter
from tailorbird.events.log import SqliteEventLog
from tailorbird.events.schema import Event


def test_a_full_exposure_queue_drops_and_counts(tmp_path):
    gate, outcomes = threading.Event(), []
    log = SqliteEventLog(tmp_path / "events.db")
    writer = ExposureWriter(
        log, capacity=5, pause_seconds=0.001, on_outcome=lambda name, count: outcomes.append((name, count))
    )

    def slow(n):
        def make():
            gate.wait(10)
            return Event(f"s{n}", "slate", 1.0, 1.0, user_id="u")

        return make

    for n in range(50):
        writer.put(slow(n))
    gate.set()
    writer.close()
    counted = {name: sum(count for each, count in outcomes if each == name) for name in ("logged", "dropped")}
    assert counted["logged"] + counted["dropped"] == 50
    assert counted["dropped"] >= 35
    assert log.last_offset() == counted["logged"]
    log.close()
