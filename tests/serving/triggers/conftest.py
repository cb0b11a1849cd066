"""A workspace whose moves call a real subscriber on this machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from serving.lasting import LastingThread
from serving.triggers.deliverer import Deliverer
from tailorbird.privacy.door.door import Door
from tailorbird.segments.move import Move
from tailorbird.settings import Settings, load_settings
from tailorbird.streams.factory import open_events
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.delivery import delivery_id
from tailorbird.triggers.pace import Backoff
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue
from tests.features.toy import event
from tests.segments.moves import moved
from tests.serving.triggers.subscriber import SECRET, Subscriber, wait_until

AT_ONCE = Backoff(first_seconds=0.02, longest_seconds=0.2)


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    opened = Subscriber()
    yield opened
    opened.close()


class World:
    """One workspace: declare, move people, deliver."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        Door.of(settings).close()  # its keys, before it has events
        self._running: list[tuple[threading.Event, LastingThread]] = []

    def declare(self, **urls: str) -> None:
        """Targets at addresses; each is called by any move."""
        lines = []
        for name, url in urls.items():
            lines.append(
                f'[targets.{name}]\nurl = "{url}"\nsecret_env = "CRM_SECRET"\nper_second = 500\nattempts = 3\n'
            )
        lines += [f'[[triggers]]\ntarget = "{name}"\nto = ["*"]\n' for name in urls]
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        (self.settings.folder / TRIGGERS_FILE).write_text("\n".join(lines))

    def move(self, *causes: str, **more: object) -> list[Move]:
        """Append an event and the move that it causes, for each."""
        moves = [moved(cause=cause, **more) for cause in causes]
        with open_events(self.settings) as events:
            for each in moves:
                events.append([event(each.cause, "view", None, each.at), each.to_event()])
        return moves

    def ids(self, moves: list[Move], target: str) -> set[str]:
        return {delivery_id(each.message_id, target) for each in moves}

    def queue(self) -> DeliveryQueue:
        return DeliveryQueue(self.settings.folder)

    def counts(self) -> dict:
        with closing(self.queue()) as queue:
            return queue.counts()

    def waiting(self, target: str) -> int:
        found = self.counts().get(target)
        return found.waiting if found else 0

    def start(self, **options: object) -> None:
        """Deliver in a thread, from the end of the events as it is now."""
        stop = threading.Event()
        options = {"look_seconds": 0.02, "backoff": AT_ONCE, **options}
        deliverer = Deliverer(self.settings, stop=stop, **options)  # type: ignore[arg-type]
        self._running.append((stop, LastingThread(deliverer.run, name="triggers")))
        wait_until(self.follows)

    def follows(self) -> bool:
        """Whether somebody has begun to follow the events."""
        if not (self.settings.folder / QUEUE_FILE).exists():
            return False
        with closing(self.queue()) as queue:
            return queue.position is not None

    def stop(self) -> None:
        for stop, thread in self._running:
            stop.set()
            thread.join(20)
            assert thread.failures == 0
        self._running.clear()


@pytest.fixture
def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    monkeypatch.setenv("CRM_SECRET", SECRET)
    made = []

    def make(*origins: str) -> World:
        settings = load_settings(home=tmp_path, workspace="test", trigger_origins=",".join(origins))
        made.append(World(settings))
        return made[-1]

    yield make
    for world in made:
        world.stop()


@pytest.fixture
def world(make_world: Callable[..., World], subscriber: Subscriber) -> World:
    return make_world(subscriber.origin())
