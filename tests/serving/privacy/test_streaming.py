"""Somebody is erased while three collectors store their events: nothing of them is left, and nothing of others is lost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.privacy.erasures import open_erasing
from tailorbird.privacy.erasure.erasing import left_of
from tailorbird.settings import Settings
from tailorbird.streams.factory import compact_stream, open_events
from tests.serving.privacy.collecting_child import GONE
from tests.serving.privacy.life import bytes_with
from tests.serving.shop import copied

ROOT = Path(__file__).resolve().parents[3]
COLLECTORS, EVENTS_A_SECOND = 3, 500


@pytest.fixture
def begin() -> Iterator[Callable[[Settings], list["subprocess.Popen[bytes]"]]]:
    """Begins the collectors; none of them outlives its test."""
    begun: list[subprocess.Popen[bytes]] = []

    def begins(settings: Settings) -> list["subprocess.Popen[bytes]"]:
        begun.extend(_begun(settings, f"c{number}") for number in range(COLLECTORS))
        for collector in begun:
            assert collector.stdout is not None
            assert collector.stdout.readline() == b"begins\n"
        return begun

    yield begins
    for collector in begun:
        collector.kill()
        collector.communicate()


@pytest.mark.slow
def test_erased_while_three_collectors_store_their_events(
    shop: Settings, tmp_path: Path, begin: Callable[[Settings], list["subprocess.Popen[bytes]"]]
) -> None:
    settings = copied(shop, tmp_path)
    collectors = begin(settings)
    erasing = open_erasing(settings)
    with open_events(settings) as log:
        deadline = time.monotonic() + 60
        while _count(log, GONE) < 50:
            assert time.monotonic() < deadline
        compact_stream(log)
    asked = erasing.ask(f"user:{GONE}")
    while not erasing.run():
        pass
    assert all(each.poll() is None for each in collectors)
    Path(settings.home, "stop").touch()
    said = [json.loads(each.communicate(timeout=120)[0]) for each in collectors]
    assert sum(each["fallen"] for each in said) > 0
    receipt = erasing.ledger.find(asked.id)
    assert receipt is not None
    assert receipt.state == "done"
    assert receipt.place("events").found >= 50  # type: ignore[union-attr]
    assert sum(left_of(erasing.places, receipt.people).values()) == 0
    assert bytes_with([settings.folder], GONE, leaving=("privacy",)) == []
    accepted = {message for each in said for message in each["accepted"]}
    with open_events(settings) as log:
        stored = {
            name for batch in log.scan(columns=["message_id"]) for name in batch["message_id"].to_pylist()
        }
    assert accepted <= stored
    assert len(accepted) == sum(each["sent"] for each in said) // 2


def _count(log, person: str) -> int:
    return sum(len(batch) for batch in log.scan(columns=[], where=[("user_key", "=", f"user:{person}")]))


def _begun(settings: Settings, name: str) -> "subprocess.Popen[bytes]":
    rate = str(EVENTS_A_SECOND / COLLECTORS)
    where = [str(settings.home), str(settings.mlruns), name, rate]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.serving.privacy.collecting_child", *where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
