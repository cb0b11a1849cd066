"""Feature rows as Feast's protobuf values, and back."""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, Map, Value
from feast.repo_config import RepoConfig

from tailorbird.errors import TailorbirdError
from tailorbird.features.table import Dtype, Feature

_CHECKSUM = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entity_key(join_key: str, name: str) -> EntityKey:
    """The key of one user or item."""
    return EntityKey(join_keys=[join_key], entity_values=[Value(string_val=name)])


def to_values(row: Mapping[str, object], features: tuple[Feature, ...]) -> dict[str, Value]:
    """Wrap the stored features of one entity."""
    return {feature.name: _wrap(row[feature.name], feature.dtype) for feature in features}


def from_values(values: Mapping[str, Value], features: tuple[Feature, ...]) -> dict[str, object]:
    """Unwrap the stored features of one entity; a feature that is missing becomes None."""
    return {feature.name: _unwrap(values, feature) for feature in features}


class DamagedRowError(TailorbirdError):
    """A stored row is not what was written."""


def to_blob(values: Mapping[str, Value]) -> bytes:
    """One row as one message, its checksum before it."""
    message = bytes(Map(val=dict(values)).SerializeToString())
    return zlib.crc32(message).to_bytes(_CHECKSUM, "little") + message


def from_blob(blob: bytes) -> Mapping[str, Value]:
    """Read ``to_blob``'s message. Raises DamagedRowError."""
    message = blob[_CHECKSUM:]
    if zlib.crc32(message) != int.from_bytes(blob[:_CHECKSUM], "little"):
        raise DamagedRowError(
            f"a stored row of {len(blob)} bytes has another checksum than when it was written",
            remedy="the updater rebuilds it from the events",
        )
    row = Map()
    row.ParseFromString(message)
    return row.val


def read_row(
    row: tuple[int, bytes] | None, requested: list[str] | None
) -> tuple[datetime | None, dict[str, Value] | None]:
    """A stored row (event time, message) as Feast wants it; (None, None) for none. Raises DamagedRowError."""
    if row is None:
        return None, None
    values = from_blob(row[1])
    if requested is not None:
        values = {name: values[name] for name in requested if name in values}
    # A message's own map reads as a dictionary does, and copying it costs a request more than reading it.
    return datetime.fromtimestamp(row[0] / 1e6, UTC), cast("dict[str, Value]", values)


def row_key(config: RepoConfig, key: EntityKey) -> bytes:
    """An entity's key as its row is stored under."""
    version = config.entity_key_serialization_version
    return bytes(serialize_entity_key(key, entity_key_serialization_version=version))


def microseconds_of(instant: datetime) -> int:
    """Epoch microseconds of a datetime, UTC where it names no zone."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _wrap(value: Any, dtype: Dtype) -> Value:
    match dtype:
        case "bytes":
            return Value(bytes_val=value)
        case "string":
            return Value(string_val=value)
        case "int64":
            return Value(int64_val=value)
        case "float64s":
            return Value(double_list_val=DoubleList(val=value))
        case "int64s":
            return Value(int64_list_val=Int64List(val=value))
        case _:
            return Value(double_val=value)


def _unwrap(values: Mapping[str, Value], feature: Feature) -> object:
    value = values.get(feature.name)
    if value is None:
        return None
    match feature.dtype:
        case "bytes":
            return value.bytes_val
        case "string":
            return value.string_val
        case "int64":
            return value.int64_val
        case "float64s":
            return value.double_list_val.val
        case "int64s":
            return value.int64_list_val.val
        case _:
            return value.double_val
