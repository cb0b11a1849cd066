"""The keyring: the keys that pseudonyms, people's data and receipts are made with, each wrapped by the master key.

A rotation wraps the same keys by a new master key: pseudonyms stay what they are, and nothing that was stored is read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.terminal import say
from tailorbird.privacy.keys.master import (
    encoded,
    given_from_outside,
    master_file,
    master_key,
    private_folder,
    secrets_folder,
    write_privately,
)
from tailorbird.privacy.keys.sealing import KEY_BYTES, SealError, new_key, seal, unseal
from tailorbird.settings import Settings

_NAMES = ("pseudonyms", "people", "receipts")
_FORMAT = 1


@dataclass(frozen=True, repr=False)
class Keyring:
    """Keys of 32 bytes. ``pseudonyms`` names people, ``people`` wraps each person's own key, ``receipts`` signs."""

    pseudonyms: bytes
    people: bytes
    receipts: bytes

    @property
    def quarantine(self) -> AESGCM:
        """The cipher of rows that were not accepted."""
        return AESGCM(HKDF(SHA256(), KEY_BYTES, None, b"tailorbird quarantine").derive(self.people))

    @property
    def fingerprint(self) -> str:
        """Tells keyrings apart without saying anything of a key: machines that share people must show the same."""
        return hashlib.sha256(b"tailorbird keyring" + self.pseudonyms).hexdigest()[:16]


def open_keyring(settings: Settings) -> Keyring:
    """The workspace's keyring; the first time one is made, and a master key where nobody gives one.

    Keys of a workspace whose master key comes from outside follow from that key and the workspace's name, so that
    machines that are given the same master key make the same keyring.

    Raises:
        UsageError: the master key is not the one that the keyring was wrapped by, or is lost. Nothing was changed.
    """
    path = keyring_file(settings)
    with alone(private_folder(settings) / ".lock"):
        master = master_key(settings)
        if not path.exists():
            keys, master = _made(settings, master)
            _write(path, {encoded_name: [_wrapped(master, keys, encoded_name)] for encoded_name in _NAMES})
            return Keyring(**keys)
        if master is None:
            raise UsageError(
                f"the master key {master_file(settings)} is lost: {path.name} does not open without it",
                remedy="put the file back from a copy, or give the key as TAILORBIRD_MASTER_KEY; nothing was changed",
            )
        return _opened(path, master)


def rotate(settings: Settings, *, new_master: bytes) -> Keyring:
    """Wrap the keyring by another master key. Whoever has it open goes on; a stop in the middle leaves one that opens.

    The workspace's own master key file is replaced; a key that comes from outside must be exchanged there by its owner,
    who has until the next rotation: the keyring opens by both.
    """
    path = keyring_file(settings)
    keyring = open_keyring(settings)
    with alone(private_folder(settings) / ".lock"):
        keys = {name: getattr(keyring, name) for name in _NAMES}
        old = master_key(settings)
        assert old is not None
        _write(path, {name: [_wrapped(key, keys, name) for key in (old, new_master)] for name in _NAMES})
        if not given_from_outside(settings):
            write_privately(master_file(settings), encoded(new_master) + "\n")
            _write(path, {name: [_wrapped(new_master, keys, name)] for name in _NAMES})
    return keyring


def keyring_file(settings: Settings) -> Path:
    """Where the wrapped keys lie."""
    return secrets_folder(settings) / "keyring.json"


def _made(settings: Settings, master: bytes | None) -> tuple[dict[str, bytes], bytes]:
    if master is not None:
        salt = settings.workspace.encode()
        keys = {
            name: HKDF(SHA256(), KEY_BYTES, salt, f"tailorbird {name}".encode()).derive(master)
            for name in _NAMES
        }
        return keys, master
    master, path = new_key(), master_file(settings)
    write_privately(path, encoded(master) + "\n")
    say(
        f"made a master key, {path}: keep a copy elsewhere; without it nobody is known any more (docs/privacy.md)"
    )
    if settings.people:
        say("machines that share people need the same: give it to each as TAILORBIRD_MASTER_KEY")
    return {name: new_key() for name in _NAMES}, master


def _wrapped(master: bytes, keys: Mapping[str, bytes], name: str) -> str:
    return seal(AESGCM(master), keys[name], purpose=f"keyring {name}").hex()


def _write(path: Path, wrapped: Mapping[str, list[str]]) -> None:
    write_privately(path, json.dumps({"format": _FORMAT, "keys": wrapped}, indent=2) + "\n")


def _opened(path: Path, master: bytes) -> Keyring:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        wrapped = {name: [bytes.fromhex(each) for each in said["keys"][name]] for name in _NAMES}
    except (ValueError, KeyError, TypeError) as error:
        raise TailorbirdError(f"keyring {path} is damaged", remedy="put it back from a copy") from error
    return Keyring(**{name: _unwrapped(master, wrapped[name], name=name, path=path) for name in _NAMES})


def _unwrapped(master: bytes, wrapped: list[bytes], *, name: str, path: Path) -> bytes:
    for each in wrapped:
        try:
            return unseal(AESGCM(master), each, purpose=f"keyring {name}")
        except SealError:
            continue
    raise UsageError(
        f"keyring {path} does not open: the master key is not the one that it was wrapped by",
        remedy="give the right key (TAILORBIRD_MASTER_KEY, _FILE or _COMMAND); nothing was changed",
    )
