"""A collector, for tests in which several store events at once: ``… collecting_child HOME MLRUNS NAME EVENTS_A_SECOND``.

It stores events of one person and of others by turns and folds them into the profiles, until there is a file ``stop`` in HOME. At the
end it says which message ids of others were accepted, and how many events fell.
"""

import json
import sys
import time
from pathlib import Path

from feature_repo.store import FeatureStoreRoom
from feature_repo.updater.updater import ProfileUpdater
from serving.collect.fold import ProfileFolder
from serving.writer import GroupWriter
from tailorbird.events.schema import Event
from tailorbird.settings import load_settings
from tailorbird.streams.factory import open_events

GONE = "winifred-adder"
BATCH = 10


def main(home: str, mlruns: str, name: str, rate: str) -> None:
    """Collect until it is told to stop."""
    settings = load_settings(home=home, mlruns=mlruns, workspace="toy")
    log = open_events(settings)
    folder = ProfileFolder(
        ProfileUpdater(settings, room=FeatureStoreRoom(settings), log=log), log, retry_seconds=0.1
    )
    writer = GroupWriter(log, fold=folder.fold)
    _say("begins")
    accepted, fallen, number = [], 0, 0
    started = time.monotonic()
    while not Path(home, "stop").exists():
        if number >= (time.monotonic() - started) * float(rate):
            time.sleep(0.002)
            continue
        events = [_event(f"{name}-{number + place}", place) for place in range(BATCH)]
        written = writer.write(events).result(timeout=60)
        number, fallen = number + BATCH, fallen + len(written.refused)
        accepted += [each.message_id for each in events if each.user_id != GONE]
    writer.close()
    folder.close()
    log.close()
    _say(json.dumps({"accepted": accepted, "fallen": fallen, "sent": number}))


def _event(message: str, place: int) -> Event:
    person = GONE if place % 2 else f"other-{place}"
    now = time.time()
    return Event(message, "view", now, now, user_id=person, item_id=f"i{place % 8}")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
