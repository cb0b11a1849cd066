"""Pseudonyms: the names that people and what callers call their own have behind the door.

HMAC-SHA256 (RFC 2104) under the workspace's key, cut to 128 bits: the same id has the same name, and nobody finds the id
from the name without the key. Each kind of id has names of its own, so that an anonymous id and a user id never meet.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256

import pandas as pd

from tailorbird.events.schema import user_key

_BYTES = 16
_REMEMBERED = 65_536
_BLOCK = 64
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_is_our_recommendation = re.compile(r"[0-9a-f]{26}").fullmatch


class Pseudonyms:
    """Names of 22 characters (base64url of 128 bits). Thread-safe."""

    def __init__(self, key: bytes) -> None:
        # HMAC with what depends on the key alone made once: a message takes less than half the time of hmac.digest.
        block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = bytes(byte ^ 0x36 for byte in block)
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))
        # The same people come again and again; a message comes once.
        self.user: Callable[[str], str] = lru_cache(_REMEMBERED)(self._of("user"))
        self.anonymous: Callable[[str], str] = lru_cache(_REMEMBERED)(self._of("anonymous"))
        self.session: Callable[[str], str] = lru_cache(_REMEMBERED)(self._of("session"))
        self.message: Callable[[str], str] = self._of("message")
        self._recommendation = self._of("recommendation")

    def recommendation(self, recommendation_id: str) -> str:
        """The id itself where it has the form of those that we give; a name for anything else that a caller sends."""
        if _is_our_recommendation(recommendation_id):
            return recommendation_id
        return self._recommendation(recommendation_id)

    def person(self, identifier: str, *, anonymous: bool = False) -> str:
        """The person key (``user:…``, ``anon:…``) of a caller's id."""
        if anonymous:
            return user_key(user_id=None, anonymous_id=self.anonymous(identifier))
        return user_key(user_id=self.user(identifier), anonymous_id=None)

    def column(self, values: pd.Series, name: Callable[[str], str]) -> pd.Series:
        """A column of ids (None where there is none) as names; each distinct id is named once."""
        codes, distinct = pd.factorize(values)
        names = pd.Series([name(str(each)) for each in distinct] + [None], dtype=object)
        return pd.Series(names.to_numpy()[codes], index=values.index, dtype=object)

    def _of(self, kind: str) -> Callable[[str], str]:
        """What gives ids of a kind their names."""
        inner_of_kind, outer_of_all = sha256(self._inner + f"{kind}\0".encode()).copy, self._outer.copy

        def of(name: str) -> str:
            inner, outer = inner_of_kind(), outer_of_all()
            inner.update(name.encode("utf-8", "surrogatepass"))
            outer.update(inner.digest())
            return b2a_base64(outer.digest()[:_BYTES], newline=False).translate(_URL_SAFE)[:22].decode()

        return of
