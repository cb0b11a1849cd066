"""Sealed records: the whole value of a message under its person's own key. Where the key is destroyed, it opens nowhere any more.

An envelope is: a byte that says its version (no JSON begins with it), the length of the record's digest and the digest, which
keeps the record's key taken when the record is gone, 8 bytes that name the person's key, then nonce, ciphertext and tag of the
record's compressed JSON. It opens for this topic, this person and this digest alone.
"""

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from tailorbird.privacy.keys.sealing import KEY_NAME_BYTES, NONCE_BYTES, Key, SealError, seal, unseal
from tailorbird.streams.kafka.topic import Message
from tailorbird.streams.kafka.wire import PoisonError

VERSION = 1
OVERHEAD = 128
"""Bytes that an envelope adds to a record that does not compress, at most."""
_MOST_BYTES = 64_000_000
_LIKELY = (
    b'{"recommendation_id":"","user_key":"anon:","data":""}'
    b'{"message_id":"","type":"click","user_id":"","anonymous_id":null,"session_id":"","item_id":"",'
    b'"recommendation_id":null,"position":null,"value":null,"event_time":17,"received_time":17,'
    b'"context":"{\\"device\\":\\"mobile\\"}","properties":null,"user_key":"user:"}'
    b'{"message_id":"","type":"view","user_id":"","anonymous_id":null,"session_id":"","item_id":"",'
    b'"recommendation_id":null,"position":null,"value":null,"event_time":17,"received_time":17,'
    b'"context":"{\\"device\\":\\"desktop\\"}","properties":null,"user_key":"user:"}'
)
"""What records of version 1 are likely to hold, for the compression of single small ones. It must never change."""


class Keys(Protocol):
    """The book of people, as it is asked for keys. Raises StreamAwayError where it cannot be asked."""

    def keys(self, people: Collection[str]) -> Mapping[str, Key]:
        """The key of each, made where there is none."""

    def keys_named(self, wanted: Collection[tuple[str, bytes]]) -> Mapping[tuple[str, bytes], Key]:
        """The keys of people (person key, name of the key) that are not destroyed."""


class Envelope(NamedTuple):
    """What can be read of a sealed record without its person's key."""

    digest: bytes
    key: bytes
    sealed: bytes


class Plain(NamedTuple):
    """A record to be sealed: its person, its digest and its JSON."""

    person: str
    digest: bytes
    value: bytes


Opened = dict[tuple[int, int], bytes | None]
"""The JSON of sealed records by partition and offset; None where the key is destroyed."""


class Seals:
    """Seals and opens the records of one topic; the book is asked once for all that are given together."""

    def __init__(self, topic: str, keys: Callable[[], Keys]) -> None:
        self._topic, self._keys = topic, keys

    def sealed(self, records: Sequence[Plain]) -> list[bytes]:
        """The envelopes of records, each under its person's key."""
        if not records:
            return []
        keys = self._keys().keys({each.person for each in records})
        return [self._closed(each, keys[each.person]) for each in records]

    def opened(self, messages: Collection[Message]) -> "Opened":
        """Those of ``messages`` that are sealed; what is broken is left out."""
        found: dict[tuple[int, int], tuple[str, Envelope]] = {}
        for each in messages:
            try:
                envelope = envelope_of(each.value)
                if envelope is not None:
                    found[each.partition, each.offset] = each.key.decode(), envelope
            except (PoisonError, UnicodeError):
                continue  # who reads it finds the same
        if not found:
            return {}
        keys = self._keys().keys_named({(person, each.key) for person, each in found.values()})
        opened: Opened = {}
        for place, (person, envelope) in found.items():
            key = keys.get((person, envelope.key))
            try:
                opened[place] = None if key is None else self._unclosed(person, envelope, key)
            except (SealError, zlib.error):
                continue
        return opened

    def _closed(self, record: Plain, key: Key) -> bytes:
        packing = zlib.compressobj(level=1, wbits=-15, zdict=_LIKELY)
        packed = packing.compress(record.value) + packing.flush()
        head = bytes((VERSION, len(record.digest))) + record.digest + key.name
        return head + seal(key.cipher, packed, purpose=self._purpose(record.person, record.digest))

    def _unclosed(self, person: str, envelope: Envelope, key: Key) -> bytes:
        packed = unseal(key.cipher, envelope.sealed, purpose=self._purpose(person, envelope.digest))
        return zlib.decompressobj(wbits=-15, zdict=_LIKELY).decompress(packed, _MOST_BYTES)

    def _purpose(self, person: str, digest: bytes) -> str:
        return f"record {self._topic} {person} {digest.hex()}"


def is_sealed(value: bytes | None) -> bool:
    """Whether a message's value is an envelope."""
    return bool(value) and value[0] == VERSION  # type: ignore[index]


def envelope_of(value: bytes | None) -> Envelope | None:
    """The envelope that a message's value is; None where it is a plain record, or nothing. Raises PoisonError where it is cut short."""
    if value is None or not is_sealed(value):
        return None
    end = 2 + (value[1] if len(value) > 1 else 0)
    if len(value) < end + KEY_NAME_BYTES + NONCE_BYTES:
        raise PoisonError("its envelope is cut short")
    return Envelope(value[2:end], value[end : end + KEY_NAME_BYTES], value[end + KEY_NAME_BYTES :])
