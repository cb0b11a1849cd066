"""The turn to write to Redis, and its commit: at once on one Redis, by way of the root on a cluster (ADR 20)."""

import secrets
import time
from collections.abc import Mapping, Sequence

from feature_repo.away import FeatureStoreAwayError
from feature_repo.online.redis_scripts import APPLY, BEGIN, COMMIT, FINISH, pack_list, unpack_list
from feature_repo.online.redis_turn import Turn
from feature_repo.online.redis_wire import Script, Wire, paired

LEASE_MS = 3_000
"""How long a writer's turn lasts where nobody else comes: after one that died, others wait so long."""
_BETWEEN_SECONDS = 0.001


class Committer:
    """Begins transactions and ends them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def begin(self, *, wait_seconds: float) -> Turn:
        """Take the turn, waiting for whoever has it, and end what a dead writer left."""
        token, deadline = secrets.token_hex(8).encode(), time.monotonic() + wait_seconds
        keys = [self._wire.keys.lock, self._wire.keys.marks, self._wire.keys.notes, self._wire.keys.redo]
        while not (begun := self._wire.call(BEGIN, keys, [token, str(LEASE_MS).encode()])):
            if time.monotonic() >= deadline:
                raise FeatureStoreAwayError(
                    f"online feature store {self._wire.address}: locked by another writer",
                    remedy="another process holds it; try again, or stop that process",
                )
            time.sleep(_BETWEEN_SECONDS)
        marks, notes, redo = begun
        if redo:  # its writer died: what it had committed comes first
            work = paired(redo)
            number = work.pop(b"number")
            for bucket, packed in work.items():
                places, arguments = (unpack_list(each) for each in unpack_list(packed))
                self._apply(int(bucket), [place.decode() for place in places], arguments)
            self._wire.call(FINISH, [self._wire.keys.lock, self._wire.keys.redo], [b"", number])
        told = {name.decode(): value.decode() for name, value in paired(marks).items()}
        return Turn(token, told, set(notes))

    def commit(self, turn: Turn) -> None:
        """Make the changes of a turn, all or none, and give it back."""
        if turn.idle:
            self._wire.call(*self._finishing(turn))
            return
        changes = {bucket: self._prepared(turn, bucket, some) for bucket, some in turn.by_bucket().items()}
        commit = self._committing(turn, changes)
        if self._wire.address.cluster:
            last = self._wire.call(*commit)
            self._require_committed(last)
            for (bucket, (keys, arguments)), before in zip(changes.items(), last, strict=True):
                self._apply(bucket, keys, [arguments[0], before, *arguments[2:]])
            self._wire.call(*self._finishing(turn, number=str(turn.number).encode()))
        else:
            steps = [commit, *((APPLY, *each) for each in changes.values()), self._finishing(turn)]
            self._require_committed(self._wire.run_at_once(steps)[0])

    def release(self, turn: Turn) -> None:
        """Give a turn back with nothing changed."""
        self._wire.call(*self._finishing(turn))

    def _finishing(self, turn: Turn, *, number: bytes = b"") -> Script:
        return FINISH, [self._wire.keys.lock, self._wire.keys.redo], [turn.token, number]

    def _committing(self, turn: Turn, changes: Mapping[int, tuple[list[str], list[bytes]]]) -> Script:
        number = str(turn.number).encode()
        redo: list[bytes] = []
        if self._wire.address.cluster and changes:
            redo = [b"number", number]
            for bucket, (keys, arguments) in changes.items():
                packed = [pack_list([key.encode() for key in keys]), pack_list(arguments)]
                redo += [str(bucket).encode(), pack_list(packed)]
        marks, gone, notes, erased = turn.lists()
        lists = [
            (marks, 2),
            (gone, 1),
            (notes, 1),
            (erased, 1),
            ([str(each).encode() for each in changes], 1),
        ]
        arguments = [turn.token, turn.commits.encode(), number]
        for parts, width in (*lists, (redo, 2)):
            arguments += [str(len(parts) // width).encode(), *parts]
        root = self._wire.keys
        return COMMIT, [root.lock, root.marks, root.notes, root.redo, root.fences], arguments

    def _prepared(
        self, turn: Turn, bucket: int, changes: Sequence[tuple[bytes, str, bytes, bytes]]
    ) -> tuple[list[str], list[bytes]]:
        """Keys and arguments of APPLY."""
        generations = sorted({generation for _, generation, _, _ in changes})
        fence, cluster = self._wire.keys.fence(bucket), self._wire.address.cluster
        keys = [fence, fence if cluster else self._wire.keys.marks]
        for generation in generations:
            keys += [self._wire.keys.rows(generation)[bucket], self._wire.keys.written(generation, bucket)]
        # On a cluster a bucket that is not where it was left has lost something; on one Redis all is lost together.
        arguments = [str(turn.number).encode(), b"", b"" if cluster else turn.token]
        for operation, generation, field, value in changes:
            arguments += [operation, str(generations.index(generation)).encode(), field, value]
        return keys, arguments

    def _apply(self, bucket: int, keys: Sequence[str], arguments: Sequence[bytes]) -> None:
        if self._wire.call(APPLY, keys, arguments) == -1:
            # What was written before is gone, whatever else is there: nobody may take it for whole.
            for generation in (v for k, v in self._wire.all_marks().items() if k.startswith("t:")):
                self._wire.client.unlink(
                    self._wire.keys.rows(generation)[bucket], self._wire.keys.written(generation, bucket)
                )

    def _require_committed(self, last: object) -> None:
        if last is None:
            raise FeatureStoreAwayError(
                f"online feature store {self._wire.address}: another writer came first, or it has lost its rows",
                remedy="nothing was written; it is tried again",
            )
