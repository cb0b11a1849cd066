"""Heartbeats and notices: who lives and what it serves, and that something moved."""

import time

from serving.heartbeat import GONE_SECONDS, ArmBeat, Heartbeat, live_beats
from serving.notice import Notice


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_replica_says_what_it_serves_at_once_when_it_changes(tmp_path):
    serving = ["1"]
    heartbeat = Heartbeat(
        tmp_path / "replicas",
        arms=lambda: [ArmBeat("champion", "champion", serving[0], "")],
        exposures=lambda: {"waiting": 3},
        every_seconds=3600.0,
    )
    heartbeat.start()

    def said():
        return [beat.arms[0].version for beat in live_beats(tmp_path / "replicas", now=time.time())]

    wait_for(lambda: said() == ["1"])
    serving[0] = "2"
    heartbeat.now()
    wait_for(lambda: said() == ["2"])
    (beat,) = live_beats(tmp_path / "replicas", now=time.time())
    assert (beat.replica, beat.exposures) == (heartbeat.replica, {"waiting": 3})
    heartbeat.close()
    assert live_beats(tmp_path / "replicas", now=time.time()) == []


def test_who_has_been_silent_counts_no_more(tmp_path):
    heartbeat = Heartbeat(tmp_path, arms=list, exposures=dict, every_seconds=3600.0)
    heartbeat.start()
    wait_for(lambda: live_beats(tmp_path, now=time.time()))
    assert live_beats(tmp_path, now=time.time() + GONE_SECONDS + 1) == []
    heartbeat.close()


def test_a_torn_beat_is_passed_over(tmp_path):
    (tmp_path / "torn.json").write_text('{"replica": "a", "at"')
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "foreign.json").write_text('{"replica": "a", "at": "noon", "arms": [], "exposures": {}}')
    assert live_beats(tmp_path, now=time.time()) == []


def test_a_replica_without_room_for_its_beat_goes_on(tmp_path):
    (tmp_path / "replicas").write_text("a file where the folder should be")
    heartbeat = Heartbeat(tmp_path / "replicas", arms=list, exposures=dict, every_seconds=0.01)
    heartbeat.start()
    time.sleep(0.1)
    assert heartbeat.thread.alive
    assert heartbeat.thread.failures == 0
    heartbeat.close()


def test_every_notice_changes_the_stamp_and_none_is_none(tmp_path):
    notice = Notice(tmp_path)
    stamps = [notice.stamp()]
    for _ in range(3):
        assert notice.give()
        stamps.append(notice.stamp())
    assert stamps[0] == ""
    assert len(set(stamps)) == 4
    assert not Notice(tmp_path / "gone").give()
    assert Notice(tmp_path / "gone").stamp() == ""
