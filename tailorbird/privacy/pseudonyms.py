"""Pseudonyms: the names that people and what callers call their own have behind the door.

HMAC-SHA256 (RFC 2104) under the workspace's key, cut to 128 bits: the same id has the same name, and nobody finds the id
from the name without the key. Each kind of id has names of its own, so that an anonymous id and a user id never meet.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import lru_cache
from hmac import digest

import pandas as pd

from tailorbird.events.schema import user_key

_BYTES = 16
_REMEMBERED = 65_536
_is_our_recommendation = re.compile(r"[0-9a-f]{26}").fullmatch


class Pseudonyms:
    """Names of 22 characters (base64url of 128 bits). Thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # The same people come again and again; a message comes once.
        self.user: Callable[[str], str] = lru_cache(_REMEMBERED)(lambda name: self._of("user", name))
        self.anonymous: Callable[[str], str] = lru_cache(_REMEMBERED)(
            lambda name: self._of("anonymous", name)
        )
        self.session: Callable[[str], str] = lru_cache(_REMEMBERED)(lambda name: self._of("session", name))

    def message(self, message_id: str) -> str:
        """The name of a message."""
        return self._of("message", message_id)

    def recommendation(self, recommendation_id: str) -> str:
        """The id itself where it has the form of those that we give; a name for anything else that a caller sends."""
        if _is_our_recommendation(recommendation_id):
            return recommendation_id
        return self._of("recommendation", recommendation_id)

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

    def _of(self, kind: str, name: str) -> str:
        full = digest(self._key, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), "sha256")
        return urlsafe_b64encode(full[:_BYTES])[:22].decode()
