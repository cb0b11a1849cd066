"""How a feature row lies in the online store: one packed message, its checksum before it, arrays as they are in memory.

Feast speaks protobuf values (values.py). A profile is read for every request and rewritten for every event: there the arrays
go in and out as they are, without a value object for each number.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from tailorbird.errors import TailorbirdError

Row = Mapping[str, Any]
"""A row's features by name: numbers, text, bytes and arrays; None, or absent, where a feature has no value."""
ENTITY_KEY_VERSION = 3
_CHECKSUM = 4
_FIXED = {ValueType.INT64: "q", ValueType.DOUBLE: "d"}


class DamagedRowError(TailorbirdError):
    """A stored row is not what was written."""


class _Part(NamedTuple):
    """How a value of no fixed length becomes bytes, and is read at an offset with a length."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int, int], Any]


def _array(dtype: str) -> _Part:
    kind = np.dtype(dtype)
    return _Part(
        lambda value: np.asarray(value, kind).tobytes(),
        lambda blob, offset, length: np.frombuffer(blob, kind, length // kind.itemsize, offset),
    )


_PARTS = {
    ValueType.BYTES: _Part(bytes, lambda blob, offset, length: blob[offset : offset + length]),
    ValueType.STRING: _Part(str.encode, lambda blob, offset, length: blob[offset : offset + length].decode()),
    ValueType.DOUBLE_LIST: _array("<f8"),
    ValueType.INT64_LIST: _array("<i8"),
}
_MESSAGE = _Part(
    lambda value: bytes(value.SerializeToString()),
    lambda blob, offset, length: Value.FromString(blob[offset : offset + length]),
)


class RowCodec:
    """Packs the rows of one view: numbers and lengths first, then bytes, text and arrays one after the other.

    ``fields`` are the names and Feast types of its features, in the order of the view. A type without a packing of its own
    is kept as Feast's message.
    """

    def __init__(self, fields: Sequence[tuple[str, ValueType]]) -> None:
        self._fields = tuple((name, _PARTS.get(kind, _MESSAGE), kind in _FIXED) for name, kind in fields)
        self._mask_bytes = -(-len(fields) // 8)
        fixed = "".join(_FIXED.get(kind, "I") for _, kind in fields)
        self._head = struct.Struct(f"<{self._mask_bytes}s{fixed}")
        self._full = ((1 << len(self._fields)) - 1).to_bytes(self._mask_bytes, "little")

    def pack(self, row: Row) -> bytes:
        """One row as bytes."""
        head: list[Any] = []
        parts: list[Any] = []
        missing = 0
        for place, (name, part_of, fixed) in enumerate(self._fields):
            value = row.get(name)
            if value is None:
                missing |= 1 << place
                head.append(0)
            elif fixed:
                head.append(value)
            else:
                part = part_of.encode(value)
                head.append(len(part))
                parts.append(part)
        mask = self._full
        if missing:
            mask = (int.from_bytes(mask, "little") & ~missing).to_bytes(self._mask_bytes, "little")
        message = b"".join((self._head.pack(mask, *head), *parts))
        return zlib.crc32(message).to_bytes(_CHECKSUM, "little") + message

    def unpack(self, blob: bytes) -> dict[str, Any]:
        """Read what :meth:`pack` wrote; arrays are read-only views of ``blob``. Raises DamagedRowError."""
        whole = len(blob) >= _CHECKSUM + self._head.size  # nothing at all would have the checksum of nothing
        if not whole or zlib.crc32(memoryview(blob)[_CHECKSUM:]) != int.from_bytes(
            blob[:_CHECKSUM], "little"
        ):
            raise DamagedRowError(
                f"a stored row of {len(blob)} bytes has another checksum than when it was written",
                remedy="the updater rebuilds it from the events",
            )
        mask, *head = self._head.unpack_from(blob, _CHECKSUM)
        present = -1 if mask == self._full else int.from_bytes(mask, "little")
        offset = _CHECKSUM + self._head.size
        row: dict[str, Any] = {}
        for place, ((name, part_of, fixed), value) in enumerate(zip(self._fields, head, strict=True)):
            if not present >> place & 1:
                row[name] = None
            elif fixed:
                row[name] = value
            else:
                row[name] = part_of.decode(blob, offset, value)
                offset += value
        return row


def codec_of(view: FeatureView) -> RowCodec:
    """The codec of a view's rows."""
    return _codec(tuple((field.name, field.dtype.to_value_type()) for field in view.features))


@lru_cache(maxsize=32)
def _codec(fields: tuple[tuple[str, ValueType], ...]) -> RowCodec:
    return RowCodec(fields)


def name_key(join_key: str, name: str) -> bytes:
    """The key of one user's or item's row: Feast's encoding, of which only the name differs."""
    encoded = name.encode()
    return _before_name(join_key) + len(encoded).to_bytes(4, "little") + encoded


def name_of(join_key: str, key: bytes) -> str:
    """The user or item whose row has this key."""
    return key[len(_before_name(join_key)) + 4 :].decode()


@lru_cache(maxsize=32)
def _before_name(join_key: str) -> bytes:
    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val="")])
    return bytes(serialize_entity_key(key, entity_key_serialization_version=ENTITY_KEY_VERSION))[:-4]
