"""The result cache in Redis, shared by all replicas. Its trouble costs a request nothing but the ranking made anew."""

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

from serving.recommend.cache import Key
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.redis import RedisAddress, errors_of_client
from tailorbird.slate.kept import pack_ranking, unpack_ranking
from tailorbird.slate.query import Ranking

log = logging.getLogger("ray.serve.tailorbird")
TIMEOUT_SECONDS = 0.1
PAUSE_SECONDS = 1.0
"""After a failure Redis is left alone for this long, so that its trouble does not become every request's."""


class SharedRankingCache:
    """Keeps rankings for ``seconds``, each with a time to live; whoever reads Redis sees no person in a key."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        workspace: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = address.connect(timeout_seconds=TIMEOUT_SECONDS)
        self._prefix = f"{address.prefix}:{workspace}:ranking:".encode()
        self._seconds, self._clock, self._on_failure = seconds, clock, on_failure
        self._closed_until = 0.0

    def get_many(self, keys: Sequence[Key], *, now: float, catalog: Catalog) -> list[Ranking | None]:
        """The rankings kept under ``keys``, in one round trip; None for one that is not there, too old or damaged."""
        found = self._ask([("GET", self._name(key)) for key in keys])
        return [self._read(packed, catalog, now=now) for packed in found] if found else [None] * len(keys)

    def put_many(self, rankings: Sequence[tuple[Key, Ranking]], *, now: float, catalog: Catalog) -> None:
        """Keep rankings, in one round trip."""
        millis = max(1, int(self._seconds * 1_000))
        made = int(now * 1e6).to_bytes(8, "little")
        packed = [(key, made + pack_ranking(one, catalog.item_ids)) for key, one in rankings]
        self._ask([("SET", self._name(key), value, "PX", millis) for key, value in packed])

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

    def _read(self, packed: bytes | None, catalog: Catalog, *, now: float) -> Ranking | None:
        if packed is None:
            return None
        made = int.from_bytes(packed[:8], "little") / 1e6
        if not 0 <= now - made <= self._seconds:
            return None
        try:
            return unpack_ranking(packed[8:], catalog.row_of)
        except TailorbirdError as error:
            log.warning("a ranking of the shared cache cannot be read: %s", error.what)
            return None

    def _name(self, key: Key) -> bytes:
        parts = [part if isinstance(part, bytes) else part.encode() for part in key]
        spelt = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        return self._prefix + blake2b(spelt, digest_size=16).hexdigest().encode()
