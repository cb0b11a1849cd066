"""Feature rows as Feast's protobuf values, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, Value
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

from feature_repo.rows import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entity_key(join_key: str, name: str) -> EntityKey:
    """The key of one user or item."""
    return EntityKey(join_keys=[join_key], entity_values=[Value(string_val=name)])


def row_key(config: RepoConfig, key: EntityKey) -> bytes:
    """An entity's key as its row is stored under."""
    version = config.entity_key_serialization_version
    return bytes(serialize_entity_key(key, entity_key_serialization_version=version))


def to_values(row: Row, view: FeatureView, *, names: list[str] | None = None) -> dict[str, Value]:
    """Wrap a row's features, or the named ones of them."""
    return {
        field.name: _wrap(row.get(field.name), field.dtype.to_value_type())
        for field in view.features
        if names is None or field.name in names
    }


def from_values(values: Mapping[str, Value], view: FeatureView) -> dict[str, Any]:
    """Unwrap a row's features; one that is missing becomes None."""
    return {
        field.name: _unwrap(values.get(field.name), field.dtype.to_value_type()) for field in view.features
    }


def microseconds_of(instant: datetime) -> int:
    """Epoch microseconds of a datetime, UTC where it names no zone."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(microseconds: int) -> datetime:
    """Epoch microseconds as a datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _wrap(value: Any, kind: ValueType) -> Value:
    if value is None:
        return Value()
    match kind:
        case ValueType.BYTES:
            return Value(bytes_val=value)
        case ValueType.STRING:
            return Value(string_val=value)
        case ValueType.INT64:
            return Value(int64_val=value)
        case ValueType.DOUBLE:
            return Value(double_val=value)
        case ValueType.DOUBLE_LIST:
            return Value(double_list_val=DoubleList(val=value))
        case ValueType.INT64_LIST:
            return Value(int64_list_val=Int64List(val=value))
        case _:
            return value if isinstance(value, Value) else Value(double_val=value)


def _unwrap(value: Value | None, kind: ValueType) -> Any:
    if value is None or value.WhichOneof("val") is None:
        return None
    match kind:
        case ValueType.BYTES:
            return value.bytes_val
        case ValueType.STRING:
            return value.string_val
        case ValueType.INT64:
            return value.int64_val
        case ValueType.DOUBLE:
            return value.double_val
        case ValueType.DOUBLE_LIST:
            return value.double_list_val.val
        case ValueType.INT64_LIST:
            return value.int64_list_val.val
        case _:
            return value
