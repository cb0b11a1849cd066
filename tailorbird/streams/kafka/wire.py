"""How a record lies in a message: JSON that others can read too, the person as its key; no value means "forget them"."""

import base64
import binascii
import math
from typing import Generic, TypeVar

import orjson

from tailorbird.errors import UsageError
from tailorbird.events.schema import ANONYMOUS
from tailorbird.streams.codec import Codec, Row

Record = TypeVar("Record")
_INT64 = 2**63


class PoisonError(Exception):
    """The bytes of a message are no record of this stream; the text says why and names nobody."""


class Wire(Generic[Record]):
    """Turns the rows of a codec into the values of messages and back: one JSON property a column, bytes as base64."""

    def __init__(self, codec: Codec[Record]) -> None:
        self._codec = codec
        self._columns = [(name, kind.split()[0], "NOT NULL" in kind) for name, kind in codec.columns.items()]
        self._person_at = list(codec.columns).index(codec.person)

    def person_of(self, row: Row) -> str:
        """The person that a row belongs to."""
        return str(row[self._person_at])

    def is_nobodys(self, row: Row) -> bool:
        """Whether it is of nobody in particular: it is its own person then."""
        return self.person_of(row) == f"{ANONYMOUS}{row[self._codec.key_at]}"

    def digest_of(self, row: Row) -> bytes:
        """What stays of the row's key for good."""
        return self._codec.digest(str(row[self._codec.key_at]))

    def encode(self, row: Row, *, most_bytes: int) -> bytes:
        """The value of a message. Raises UsageError where no message can hold the row."""
        for (name, kind, _), value in zip(self._columns, row, strict=True):
            if kind == "INTEGER" and isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise _refused(self._codec.name, f"{name} = {value} has more than 64 bits")
            if isinstance(value, float) and not math.isfinite(value):
                raise _refused(self._codec.name, f"{name} = {value} is no finite number")
        try:
            encoded = orjson.dumps(
                {
                    name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
                    for (name, _, _), value in zip(self._columns, row, strict=True)
                }
            )
            self.person_of(row).encode()
        except (TypeError, UnicodeError) as error:
            raise _refused(self._codec.name, str(error)) from error
        if len(encoded) > most_bytes:
            raise UsageError(
                f"a record of the {self._codec.name} stream has {len(encoded):,} bytes, the topic takes {most_bytes:,}",
                remedy="make it smaller, or raise max.message.bytes of the topic and message.max.bytes in the setting events",
            )
        return encoded

    def decode(self, value: bytes) -> Row:
        """The row of a message's value. Raises PoisonError where it holds none that can be read."""
        try:
            values = orjson.loads(value)
        except ValueError:
            raise PoisonError("it is no JSON") from None
        if not isinstance(values, dict):
            raise PoisonError("it is no JSON object")
        row = tuple(_checked(values.get(name), name, kind, needed) for name, kind, needed in self._columns)
        if not row[self._codec.key_at] or not row[self._person_at]:
            raise PoisonError(f"{self._codec.key} or {self._codec.person} is empty")
        try:
            self._codec.from_row(row)
        except Exception as error:  # whatever a stranger wrote: it must not stop the stream
            raise PoisonError(f"it cannot be read: {type(error).__name__}") from None
        return row


def _checked(value: object, name: str, kind: str, needed: bool) -> object:
    if value is None:
        if needed:
            raise PoisonError(f"{name} is missing")
        return None
    if kind == "TEXT" and isinstance(value, str):
        return value
    if kind == "INTEGER" and type(value) is int and -_INT64 <= value < _INT64:
        return value
    if kind == "REAL" and type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]
    if kind == "BLOB" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            raise PoisonError(f"{name} is no base64") from None
    raise PoisonError(f"{name} has the wrong type")


def _refused(stream: str, what: str) -> UsageError:
    return UsageError(f"{stream} stream: a record cannot be stored: {what}", remedy="correct the record")
