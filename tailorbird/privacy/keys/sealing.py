"""Authenticated encryption of small things: AES-256-GCM, a fresh nonce each, bound to what the thing is for."""

import hashlib
import os
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_NAME_BYTES = 8


class SealError(ValueError):
    """The key is another one, or the sealed bytes were changed."""


@dataclass(frozen=True, repr=False)
class Key:
    """A key that seals: its cipher, and a ``name`` (8 bytes) that tells it from others and says nothing of it."""

    cipher: AESGCM
    name: bytes

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """The key of 256 bits in ``secret``."""
        return cls(AESGCM(secret), hashlib.sha256(b"tailorbird key" + secret).digest()[:KEY_NAME_BYTES])


def new_key() -> bytes:
    """A random key of 256 bits."""
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def seal(cipher: AESGCM, plain: bytes, *, purpose: str) -> bytes:
    """Encrypt: nonce (12 bytes), ciphertext, tag (16 bytes). It opens for the same ``purpose`` alone."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, purpose.encode())


def unseal(cipher: AESGCM, sealed: bytes, *, purpose: str) -> bytes:
    """Decrypt what :func:`seal` made. Raises SealError."""
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError) as error:
        raise SealError(f"{len(sealed)} sealed bytes do not open with this key") from error
