"""Killed at any instant, an erasure is finished by the next process: no receipt stays open, and nobody else loses anything."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tailorbird.catalog.catalog import Users
from tailorbird.ingest.quarantine import write_quarantine
from tailorbird.privacy.erasure.erasing import Erasing
from tailorbird.privacy.erasure.receipt import is_signed
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import compact_stream, open_events
from tailorbird.streams.position import BEGINNING
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.queue import DeliveryQueue
from tests.privacy.erasing_child import open_small
from tests.proving import tries
from tests.streams.embedded import event

ROOT = Path(__file__).resolve().parents[2]
KILLS = tries(4, 50)
AT_A_TIME = 3
PEOPLE = [f"soul-{n:03}" for n in range(KILLS * AT_A_TIME + 6)]
EACH = 8
"""Events of a person: half of them in each of two archived files, and two more live."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="test")
    with open_events(chosen) as log:
        for part in range(2):
            log.append([_event(person, part * 4 + n) for n in range(4) for person in PEOPLE])
            compact_stream(log)
        log.append([_event(person, 8 + n) for n in range(2) for person in PEOPLE])
    Users.from_frame(pd.DataFrame({"user_id": PEOPLE})).write(chosen.catalog_folder)
    (chosen.folder / "segments").mkdir()
    keys = [f"user:{person}" for person in PEOPLE]
    pq.write_table(pa.table({"user_key": keys}), chosen.folder / "segments" / "assigned.parquet")
    raw = [orjson.dumps({"user": person}).decode() for person in PEOPLE]
    rows = pd.DataFrame({"table": "events", "row": range(len(PEOPLE)), "reason": "odd", "raw": raw})
    write_quarantine([rows], folder=chosen.quarantine_folder, now=0.0, keyring=open_keyring(chosen))
    with closing(DeliveryQueue(chosen.folder)) as queue:
        queue.follow(BEGINNING, [Delivery(f"to-{key}", "crm", key, b"{}", 0.0) for key in keys])
    return chosen


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_instants_every_erasure_is_finished_once(settings: Settings) -> None:
    rng, erasing = random.Random(3), open_small(settings)
    found = {"events": 10, "users": 1, "segments": 1, "quarantine": 1, "deliveries": 1}
    typical, killed, asked = 0.5, 0, []
    people = iter(PEOPLE)
    for _ in range(KILLS):
        asked += [erasing.ask(f"user:{next(people)}") for _ in range(AT_A_TIME)]
        child = _begun(settings)
        began = time.monotonic()
        time.sleep(rng.random() * typical)
        child.kill()
        said, _ = child.communicate()
        killed += b"ended" not in said
        if b"ended" in said:
            typical = max(0.05, 0.8 * (time.monotonic() - began))
        else:
            typical *= 1.1
        assert erasing.run() in (0, AT_A_TIME)
    assert killed >= KILLS // 3, "most processes had ended before they were killed"
    key = erasing.signing_key()
    for receipt in (erasing.ledger.find(each.id) for each in asked):
        assert receipt is not None
        assert receipt.state == "done"
        assert is_signed(receipt, key)
        assert {place.name: place.found for place in receipt.places} == found
    assert erasing.ledger.unfinished(limit=10) == []
    gone = [each.person for each in asked]
    kept = [f"user:{person}" for person in people]
    assert _held(erasing, gone) == dict.fromkeys(found, 0)
    assert _held(erasing, kept) == {name: count * len(kept) for name, count in found.items()}
    with open_events(settings) as log:
        left = sum(len(batch) for batch in log.scan(columns=["user_key"]))
        assert left == 10 * len(kept)
        assert log.append([_event(PEOPLE[-1], n) for n in range(10)]).duplicates == 10


def _held(erasing: Erasing, people: list[str]) -> dict[str, int]:
    return {place.name: sum(place.verify(people).values()) for place in erasing.places}


def _event(person: str, number: int) -> object:
    return event(number, message_id=f"{person}-{number}", user_id=person)


def _begun(settings: Settings) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.privacy.erasing_child", str(settings.home)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"begins\n"
    return child
