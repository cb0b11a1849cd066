"""The judgement of a call: which key it carries, whether that opens this door from that page now, and how often."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from limits import RateLimitItem
from limits.storage import Storage

from tailorbird.access.keys import Key, Secret, digest_of, id_of, limits_of
from tailorbird.access.ring import KeyRing

Needs = frozenset[str]
"""Scopes of which one opens a door; none: any key does."""


class NotAdmittedError(Exception):
    """Why a call is not let in: ``kind`` says whether there is no good key, a good one that may not, or one too often."""

    def __init__(
        self,
        kind: Literal["unknown", "forbidden", "too-often"],
        slug: str,
        what: str,
        remedy: str,
        *,
        after_seconds: int = 0,
    ) -> None:
        super().__init__(what)
        self.kind, self.slug, self.what, self.remedy, self.after_seconds = (
            kind,
            slug,
            what,
            remedy,
            after_seconds,
        )


class Gate:
    """Lets calls in by the keys of one workspace."""

    def __init__(self, ring: KeyRing, counts: Storage, *, clock: Callable[[], float]) -> None:
        self.ring = ring
        self._counts, self._clock = counts, clock

    def admit(
        self,
        token: bytes,
        *,
        needs: Needs,
        origin: str = "",
        in_address: bool = False,
        reads: bool = False,
    ) -> str:
        """The id of the caller's key.

        ``origin`` is that of the page which calls, ``in_address`` says that the token stands there, ``reads`` that the call
        changes nothing: browsers leave out the origin of what a page asks of its own.

        Raises:
            NotAdmittedError: the call may not.
        """
        now = self._clock()
        key = self._key(token, now)
        if in_address and not key.origins:
            raise NotAdmittedError(
                "unknown",
                "key-in-address",
                f"key {key.id} is secret, and addresses are written to logs",
                "send it as authorization: Bearer …, and rotate it",
            )
        if needs and needs.isdisjoint(key.scopes):
            wanted = " or ".join(sorted(needs))
            raise NotAdmittedError(
                "forbidden",
                "scope-missing",
                f"this needs the scope {wanted}; key {key.id} has {', '.join(sorted(key.scopes))}",
                f"use a key with {wanted}",
            )
        if key.origins and origin not in key.origins and (origin or not reads):
            raise NotAdmittedError(
                "forbidden",
                "origin-not-of-key",
                f"key {key.id} is for pages of {', '.join(key.origins)}, not of {origin[:256] or 'nowhere'}",
                "name the origin where the key is made, or use a key without origins from a program",
            )
        if key.limits:
            self._count(key, now)
        return key.id

    def _key(self, token: bytes, now: float) -> Key:
        digest = digest_of(token, workspace=self.ring.workspace)
        key, secret = self.ring.known.get(digest) or self._found(token, digest)
        if key.revoked is not None and key.revoked <= now:
            raise NotAdmittedError("unknown", "key-revoked", f"key {key.id} is revoked", "ask for another")
        ends = (key.expires, secret.until)
        if any(end is not None and end <= now for end in ends):
            raise NotAdmittedError(
                "unknown", "key-expired", f"this secret of key {key.id} is over", "ask for the new one"
            )
        return key

    def _found(self, token: bytes, digest: bytes) -> tuple[Key, Secret]:
        """The key that the token names, where it has this secret; kept by its hash, which nobody can choose."""
        if not token:
            raise NotAdmittedError(
                "unknown",
                "key-missing",
                "this platform asks for a key",
                "send it as authorization: Bearer …; commands take it from TAILORBIRD_API_KEY",
            )
        known = self.ring.known
        key = self.ring.get(id_of(token))
        secret = None if key is None else key.secret_of(digest.hex())
        if key is None or secret is None:
            raise NotAdmittedError(
                "unknown",
                "key-unknown",
                "no such key here",
                "see `tailorbird keys list`; a key is of one workspace",
            )
        known[digest] = key, secret
        return key, secret

    def _count(self, key: Key, now: float) -> None:
        for limit, seconds, name in _windows(key.id, key.limits):
            if self._counts.incr(name, seconds) > limit.amount:
                after = max(1, math.ceil(self._counts.get_expiry(name) - now))
                raise NotAdmittedError(
                    "too-often",
                    "too-often",
                    f"key {key.id} may call {limit.amount:,} times in {_words(limit)}",
                    f"try again in {after} s",
                    after_seconds=after,
                )


@lru_cache(maxsize=1_024)
def _windows(key_id: str, limits: tuple[str, ...]) -> tuple[tuple[RateLimitItem, int, str], ...]:
    """A key's limits, how long their windows are, and under which names they are counted."""
    return tuple((each, each.get_expiry(), each.key_for(key_id)) for each in limits_of(limits))


def _words(limit: RateLimitItem) -> str:
    name = limit.GRANULARITY.name
    return f"a {name}" if limit.multiples == 1 else f"{limit.multiples} {name}s"
