"""The result cache in Redis, shared by all replicas. Its trouble costs a request nothing but the ranking made anew."""

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from struct import Struct

from serving.recommend.cache.memory import Found, Kept, Key
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.redis import RedisAddress, errors_of_client
from tailorbird.slate.kept import pack_ranking, unpack_ranking

log = logging.getLogger("ray.serve.tailorbird")
TIMEOUT_SECONDS = 0.1
_HEAD = Struct("<dd16s")
"""Before a packed ranking: the instants between which it holds, and a digest of the person's version."""
PAUSE_SECONDS = 1.0
"""After a failure Redis is left alone for this long, so that its trouble does not become every request's."""


class SharedRankingCache:
    """Keeps rankings, each with its time to live; whoever reads Redis sees no person in a key."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        workspace: str,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = address.connect(timeout_seconds=TIMEOUT_SECONDS)
        self._prefix = f"{address.prefix}:{workspace}:ranking:".encode()
        self._clock, self._on_failure = clock, on_failure
        self._closed_until = 0.0

    def get_many(self, asked: Sequence[tuple[Key, str]], *, now: float, catalog: Catalog) -> list[Found]:
        """What is kept under each key, in one round trip; nothing for what is not there, too old or damaged."""
        answers = self._ask([("GET", self._name(key)) for key, _ in asked])
        if not answers:
            return [Found()] * len(asked)
        return [
            self._read(packed, person, catalog, now=now)
            for packed, (_, person) in zip(answers, asked, strict=True)
        ]

    def put_many(self, made: Sequence[tuple[Key, Kept]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings, in one round trip."""
        self._ask(
            [
                ("SET", self._name(key), _packed(kept, catalog), "PX", int((kept.until - now) * 1_000))
                for key, kept in made
                if kept.until - now >= 0.001
            ]
        )

    def _ask(self, commands: Sequence[tuple[object, ...]]) -> list[bytes | None]:
        if not commands or self._clock() < self._closed_until:
            return []
        try:
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())
        except errors_of_client() as error:
            self._closed_until = self._clock() + PAUSE_SECONDS
            self._on_failure()
            log.warning("the shared result cache is away, rankings are made anew: %s", error)
            return []

    def _read(self, packed: bytes | None, person: str, catalog: Catalog, *, now: float) -> Found:
        if packed is None or len(packed) < _HEAD.size:
            return Found()
        made, until, of = _HEAD.unpack_from(packed)
        if not made <= now < until:
            return Found()
        if of != _digest(person.encode()):
            return Found(moved=True)
        try:
            return Found(unpack_ranking(packed[_HEAD.size :], catalog.row_of))
        except TailorbirdError as error:
            log.warning("a ranking of the shared cache cannot be read: %s", error.what)
            return Found()

    def _name(self, key: Key) -> bytes:
        parts = [part if isinstance(part, bytes) else part.encode() for part in key]
        spelt = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        return self._prefix + _digest(spelt).hex().encode()


def _packed(kept: Kept, catalog: Catalog) -> bytes:
    head = _HEAD.pack(kept.made, kept.until, _digest(kept.person.encode()))
    return head + pack_ranking(kept.ranking, catalog.item_ids)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
