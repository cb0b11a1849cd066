"""API keys: a public id and a secret that is kept as its hash; scopes, expiry, origins and limits."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from limits import RateLimitItem, parse_many

from tailorbird.plumbing.addresses import is_origin

COLLECT, RECOMMEND, CATALOG = "collect", "recommend", "catalog"
ADMIN, PRIVACY, EXPERIMENTS = "admin", "privacy", "experiments"
SCOPES = (COLLECT, RECOMMEND, CATALOG, ADMIN, PRIVACY, EXPERIMENTS)
PUBLIC_SCOPES = frozenset({COLLECT, RECOMMEND})
"""What a key may do that everybody who opens a web page can read."""
SECRET_BYTES = 32
_TOKEN = re.compile(rb"tb_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Secret:
    """The hash of a token, in hexadecimal digits, and until when it opens anything (epoch seconds); None: as long as its key."""

    digest: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One key; ``origins`` makes it public, for the pages of these alone, ``limits`` reads as ``100/second``."""

    id: str
    name: str
    scopes: frozenset[str]
    secrets: tuple[Secret, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    origins: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def public(self) -> bool:
        """Whether a web page may carry it."""
        return bool(self.origins)

    def secret_of(self, digest: str) -> Secret | None:
        """The secret that has this hash; every one is compared, each in constant time."""
        found = None
        for secret in self.secrets:
            if hmac.compare_digest(secret.digest, digest):
                found = secret
        return found

    def rotated(self, digest: str, *, now: float, overlap_seconds: float) -> "Key":
        """The same key with a new secret; those of before open for ``overlap_seconds`` more, none for longer than it did."""
        end = now + overlap_seconds
        before = [
            replace(each, until=end if each.until is None else min(each.until, end)) for each in self.secrets
        ]
        kept = [each for each in before if each.until is not None and each.until > now]
        return replace(self, secrets=(Secret(digest), *kept))


def new_token() -> tuple[str, str]:
    """The id of a new key and its token, which is told once: ``tb_<id>_<256 random bits>``."""
    identity = secrets.token_hex(8)
    return identity, token_with(identity)


def token_with(identity: str) -> str:
    """A new token of the key ``identity``."""
    return f"tb_{identity}_{secrets.token_urlsafe(SECRET_BYTES)}"


def id_of(token: bytes) -> str:
    """The id that a token names; "" where it is no token."""
    found = _TOKEN.fullmatch(token)
    return found[1].decode() if found else ""


def digest_of(token: bytes, *, workspace: str) -> bytes:
    """What is kept of a token: 256 random bits need no salt and no slow hash. Another workspace's is another."""
    return hashlib.sha256(b"%s\0%s" % (workspace.encode(), token)).digest()


@lru_cache(maxsize=1_024)
def limits_of(texts: tuple[str, ...]) -> tuple[RateLimitItem, ...]:
    """Limits by their texts, the shortest window first: who is refused for a second is not counted for the day.

    Raises:
        ValueError: a text is no limit.
    """
    return tuple(
        sorted((each for text in texts for each in parse_many(text)), key=lambda each: each.get_expiry())
    )


def problems_of(*, scopes: Sequence[str], origins: Sequence[str], limits: Sequence[str]) -> str:
    """Why there is no such key; "" where there may be."""
    if not scopes:
        return "a key without a scope opens nothing"
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        return f"scope {unknown[0]!r} is none of {', '.join(SCOPES)}"
    private = [scope for scope in scopes if scope not in PUBLIC_SCOPES]
    if origins and private:
        return f"a key with origins is for web pages, which everybody can read: it cannot have {private[0]!r}"
    wrong = [origin for origin in origins if not is_origin(origin)]
    if wrong:
        return f"{wrong[0]!r} is no origin: scheme://host or scheme://host:port in lower case, without a path"
    try:
        limits_of(tuple(limits))
    except ValueError:
        return f"{', '.join(limits)}: a limit reads as 100/second, 5000/hour or 1000000/30 days"
    return ""
