"""A ranking as bytes, for a cache that replicas share: names and shapes as JSON, arrays as they are in memory. Nothing is code.

Candidates are kept by the ids of their items: replicas that learned of new items in another order number them otherwise.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import orjson

from tailorbird.errors import TailorbirdError
from tailorbird.slate.query import Candidates, Ranking

_LENGTH = 4


def pack_ranking(ranking: Ranking, item_ids: np.ndarray) -> bytes:
    """Every field of a ranking and its candidates; ``item_ids`` are the catalogue's."""
    arrays: list[bytes] = []
    told = _told(ranking, arrays)
    told["candidates"]["rows"] = {"ids": [str(item_ids[row]) for row in ranking.candidates.rows]}
    head = orjson.dumps(told)
    return b"".join((len(head).to_bytes(_LENGTH, "little"), head, *arrays))


def unpack_ranking(packed: bytes, row_of: Mapping[str, int]) -> Ranking:
    """Read what :func:`pack_ranking` wrote; arrays are read-only views.

    Raises TailorbirdError for anything else, and for an item that the catalogue does not hold.
    """
    start = _LENGTH + int.from_bytes(packed[:_LENGTH], "little")
    try:
        told = orjson.loads(packed[_LENGTH:start])
        reader = _Reader(memoryview(packed)[start:], row_of)
        candidates = Candidates(**reader.fields_of(Candidates, told.pop("candidates")))
        return Ranking(candidates=candidates, **reader.fields_of(Ranking, told))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TailorbirdError(
            f"{len(packed)} bytes are no ranking: {error}", remedy="it is made again; nothing is to be done"
        ) from error


def _told(thing: Any, arrays: list[bytes]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if isinstance(thing, Candidates) and field.name == "rows":
            continue
        if isinstance(value, np.ndarray):
            told[field.name] = {"dtype": value.dtype.str, "shape": value.shape}
            arrays.append(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Candidates):
            told[field.name] = _told(value, arrays)
        else:
            told[field.name] = value
    return told


class _Reader:
    """Arrays one after the other, in the order of the fields that were packed."""

    def __init__(self, rest: memoryview, row_of: Mapping[str, int]) -> None:
        self._rest, self._row_of, self._at = rest, row_of, 0

    def fields_of(self, kind: type, told: dict[str, Any]) -> dict[str, Any]:
        """The values of a dataclass's fields. Raises KeyError where others were packed."""
        names = [field.name for field in fields(kind)]
        if set(told) - set(names):
            raise KeyError(f"fields {sorted(set(told) - set(names))}")
        return {name: self._value(told[name]) for name in names if name in told}

    def _value(self, told: Any) -> Any:
        if isinstance(told, list):
            return tuple(told)
        if not isinstance(told, dict):
            return told
        if "ids" in told:
            return np.array([self._row_of[name] for name in told["ids"]], np.int64)
        kind, shape = np.dtype(told["dtype"]), tuple(told["shape"])
        if kind.hasobject:
            raise ValueError("an array of objects")
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(self._rest, kind, count, self._at).reshape(shape)
        self._at += array.nbytes
        return array
