"""Events as their sender knows them, compared with what the platform kept of them."""

import itertools
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from serving.bench.harness.callers import Ask
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING

BATCH = 5


@dataclass
class Tally:
    """A batch is sent again until it is acknowledged."""

    prefix: str
    acknowledged: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _unanswered: dict[int, list[str]] = field(default_factory=dict)

    def ask(self, caller: int) -> Ask:
        """The caller's unanswered batch again, or the next one."""
        ids = self._unanswered.get(caller)
        if ids is None:
            first = next(self._numbers) * BATCH
            ids = self._unanswered[caller] = [f"{self.prefix}-{n}" for n in range(first, first + BATCH)]
            self.sent += ids
        batch = [
            {
                "messageId": message,
                "type": "view",
                "userId": f"fault-{self.prefix}-{caller}",
                "itemId": f"item-{hash(message) % 200}",
            }
            for message in ids
        ]

        def answered(status: int, body: bytes) -> None:
            if status == 202:
                self.acknowledged += self._unanswered.pop(caller)

        return Ask("/v1/events", orjson.dumps({"batch": batch}), answered)


def compare(settings: Settings, tally: Tally) -> tuple[int, int]:
    """How many acknowledged events are missing from the log or the profiles, and how many count twice there."""
    from feature_repo.store import FeatureStoreRoom

    stored: Counter[str] = Counter()
    owners: Counter[str] = Counter()
    names = Pseudonyms(open_keyring(settings).pseudonyms)
    callers = {names.message(each): each for each in tally.sent}
    with open_events(settings) as log:
        position = BEGINNING
        while chunk := log.read(position):
            for entry in chunk.entries:
                if entry.record.message_id in callers:
                    stored[callers[entry.record.message_id]] += 1
                    owners[entry.record.user_key] += 1
            position = chunk.position
    room = FeatureStoreRoom(settings)
    keys = sorted(owners)
    deadline = time.monotonic() + 30.0
    while True:  # a profile that was delayed follows
        folded = {state.user_key: state.total for state in room.online_read(keys)}
        if all(folded[key] >= owners[key] for key in keys) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    lost = sum(stored[message] == 0 for message in tally.acknowledged)
    lost += sum(max(0, owners[key] - folded[key]) for key in keys)
    doubled = sum(count - 1 for count in stored.values())
    doubled += sum(max(0, folded[key] - owners[key]) for key in keys)
    return lost, doubled
