"""The wire to Redis: its client, pipelines, scripts, rows of whole buckets, and errors with a remedy."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from feature_repo.away import FeatureStoreAwayError
from feature_repo.online.redis_scripts import MARKER, Keys, bucket_of
from feature_repo.online.redis_turn import Written
from tailorbird.plumbing.redis import RedisAddress, errors_of_client, remedy_of

Command = tuple[Any, ...]
Script = tuple[str, Sequence[str], Sequence[bytes]]
"""A script, its keys and its arguments."""
_FORGOTTEN = "{} has lost its rows of live profiles, or never had them"
_REFILL = (
    "wait: the collect replicas fill it again from the events; `tailorbird features` does it without them. "
    "Persistence and maxmemory-policy noeviction keep it from happening (docs/guides/redis.md)"
)


class NotWholeError(FeatureStoreAwayError):
    """A table, or a bucket of it, is not there."""


class Wire:
    """Commands to one Redis or cluster; threads may share it. It connects at the first use."""

    def __init__(self, address: RedisAddress, *, project: str, timeout_seconds: float) -> None:
        self.address, self.keys = address, Keys(address.prefix, project)
        self._timeout_seconds = timeout_seconds
        self._connected: Any = None

    @property
    def client(self) -> Any:
        """The client, made at the first use."""
        if self._connected is None:
            self._connected = self.address.connect(timeout_seconds=self._timeout_seconds)
        return self._connected

    def call(self, script: str, keys: Sequence[str], arguments: Sequence[bytes]) -> Any:
        """Run a script."""
        return self.client.execute_command(*_eval(script, keys, arguments))

    def pipelined(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to many commands, in one round trip."""
        if self.address.cluster and len(commands) > 1:
            return self._queued(self.client.pipeline(), commands)
        if len(commands) <= 1:
            return [self.client.execute_command(*each) for each in commands]
        # Requests read so: the client's own pipeline takes twice as long for many small commands.
        pool = self.client.connection_pool
        connection = pool.get_connection()
        try:
            return list(
                connection.retry.call_with_retry(
                    lambda: self._at_once(connection, commands), lambda error: connection.disconnect()
                )
            )
        except BaseException:
            connection.disconnect()  # answers may be left in it
            raise
        finally:
            pool.release(connection)

    def _at_once(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]

    def _queued(self, pipeline: Any, commands: Sequence[Command]) -> list[Any]:
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute())

    def run_at_once(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts one after the other, nobody between them; not on a cluster."""
        return self._queued(self.client.pipeline(transaction=True), [_eval(*each) for each in scripts])

    def fetched(self, generation: str, keys: Sequence[bytes]) -> dict[bytes, Written]:
        """Rows as Redis has them; raises where a bucket is not whole."""
        places = self.keys.rows(generation)
        by_bucket: dict[int, list[bytes]] = defaultdict(list)
        for key in keys:
            by_bucket[bucket_of(key)].append(key)
        asked = [("HMGET", places[bucket], MARKER, *some) for bucket, some in by_bucket.items()]
        found: dict[bytes, Written] = {}
        for some, (marker, *values) in zip(by_bucket.values(), self.pipelined(asked), strict=True):
            if marker is None:
                raise self.lost()
            for key, value in zip(some, values, strict=True):
                if value is not None:
                    found[key] = Written.of(key, value)
        return found

    def all_marks(self) -> dict[str, str]:
        """Every mark of the root, tables among them."""
        with self.named_errors():
            found = self.client.hgetall(self.keys.marks)
        return {name.decode(): value.decode() for name, value in found.items()}

    def lost(self) -> FeatureStoreAwayError:
        """What to raise where rows are not whole."""
        return NotWholeError(_FORGOTTEN.format(self.address), remedy=_REFILL)

    def evicting(self) -> str:
        """The policy by which the server throws keys without a time to live away; empty where it does not."""
        with self.named_errors():
            told = self.client.info(
                "memory", **({"target_nodes": "primaries"} if self.address.cluster else {})
            )
        nodes = [each for each in told.values() if isinstance(each, dict)] or [told]
        policies = [str(each.get("maxmemory_policy", "")) for each in nodes]
        return next((policy for policy in policies if policy.startswith("allkeys")), "")

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """What the client raises becomes a FeatureStoreAwayError with a remedy."""
        errors = errors_of_client()
        try:
            yield
        except errors as error:
            raise FeatureStoreAwayError(
                f"online feature store {self.address}: {error or type(error).__name__}",
                remedy=remedy_of(f"{error} {error.__cause__ or ''}"),
            ) from error


def _eval(script: str, keys: Sequence[str], arguments: Sequence[bytes]) -> tuple[Any, ...]:
    return ("EVAL", script, len(keys), *keys, *arguments)


def paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Names and values that come one after the other."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
