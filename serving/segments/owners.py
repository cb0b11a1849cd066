"""Whom anonymous keys may belong to: hints from the logins in the stream of events, for whoever then looks at the person's links."""

import time
from collections.abc import Callable

from tailorbird.events.schema import IDENTIFY, Event, user_key
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.stream import Stream

MOST_KEYS = 200_000
"""Anonymous keys that are remembered, the newest: some 60 MB."""
MOST_OWNERS = 8
LOOK_SECONDS = 5.0


class Owners:
    """The users that ever logged in by an anonymous id; a link that was taken back is among them. One thread may ask."""

    def __init__(
        self,
        events: Stream[Event],
        *,
        most: int = MOST_KEYS,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._most, self._look_seconds, self._clock = events, most, look_seconds, clock
        self._owners: dict[str, tuple[str, ...]] = {}
        self._position: Position = BEGINNING
        self._looked = float("-inf")

    def of(self, anonymous_key: str) -> tuple[str, ...]:
        """The keys of users that it may belong to. Raises StreamAwayError where the logins cannot be read."""
        if self._clock() - self._looked >= self._look_seconds:
            self._look()
        return self._owners.get(anonymous_key, ())

    def learn(self, anonymous_key: str, owner: str) -> None:
        """A login that was heard of in another way."""
        known = self._owners.pop(anonymous_key, ())
        self._owners[anonymous_key] = (*(each for each in known if each != owner), owner)[-MOST_OWNERS:]
        if len(self._owners) > self._most:
            del self._owners[next(iter(self._owners))]

    def _look(self) -> None:
        """Read the logins since the last look, the first time all there are."""
        end = self._events.end()
        if end != self._position:
            where = [("type", "=", IDENTIFY)]
            for batch in self._events.scan(
                columns=["user_id", "anonymous_id", "type"], where=where, after=self._position, through=end
            ):
                logins = zip(batch["user_id"].to_pylist(), batch["anonymous_id"].to_pylist(), strict=True)
                for user_id, anonymous_id in logins:
                    if user_id and anonymous_id:
                        self.learn(
                            user_key(user_id=None, anonymous_id=anonymous_id),
                            user_key(user_id=user_id, anonymous_id=None),
                        )
            self._position = end
        self._looked = self._clock()
