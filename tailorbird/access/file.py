"""The keys of a workspace in their file: JSON that its owner alone may read, written by one at a time, whole or not at all."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailorbird.access.keys import Key, Secret, problems_of
from tailorbird.errors import UsageError
from tailorbird.plumbing.alone import alone
from tailorbird.plumbing.disk import fsync

VERSION = 1
MOST_KEYS = 1_000


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SecretTable(_Table):
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    until: float | None = None


class _KeyTable(_Table):
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    name: str
    scopes: list[str]
    secrets: Annotated[list[_SecretTable], Field(min_length=1)]
    created: float
    expires: float | None = None
    revoked: float | None = None
    origins: list[str] = []
    limits: list[str] = []


class _File(_Table):
    version: Annotated[int, Field(ge=VERSION, le=VERSION)]
    keys: Annotated[list[_KeyTable], Field(max_length=MOST_KEYS)]


def read_keys(path: Path) -> tuple[Key, ...] | None:
    """The keys, the oldest first; None without the file.

    Raises:
        UsageError: the file cannot be read, or is not what we write.
    """
    try:
        tables = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(path, f"{where}: {first['msg']}") from None
    except OSError as error:
        raise _damaged(path, str(error)) from error
    for table in tables.keys:
        if problem := problems_of(scopes=table.scopes, origins=table.origins, limits=table.limits):
            raise _damaged(path, f"key {table.id}: {problem}")
    return tuple(_key(table) for table in tables.keys)


def change_keys(path: Path, change: Callable[[tuple[Key, ...]], Sequence[Key]]) -> None:
    """Put what ``change`` makes of the keys in their place, while nobody else does.

    Raises:
        UsageError: the file is damaged, or full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock")):
        keys = change(read_keys(path) or ())
        if len(keys) > MOST_KEYS:
            raise UsageError(
                f"{path} holds {MOST_KEYS:,} keys already",
                remedy="remove some with `tailorbird keys revoke --forget`",
            )
        _write(path, keys)


def _write(path: Path, keys: Sequence[Key]) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"version": VERSION, "keys": [_plain(key) for key in keys]}, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    fsync(path.parent)


def _plain(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "secrets": [{"digest": each.digest, "until": each.until} for each in key.secrets],
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "origins": list(key.origins),
        "limits": list(key.limits),
    }


def _key(table: _KeyTable) -> Key:
    return Key(
        id=table.id,
        name=table.name,
        scopes=frozenset(table.scopes),
        secrets=tuple(Secret(each.digest, each.until) for each in table.secrets),
        created=table.created,
        expires=table.expires,
        revoked=table.revoked,
        origins=tuple(table.origins),
        limits=tuple(table.limits),
    )


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} cannot be read: {why}",
        remedy="bring it back from a backup, or remove it and make new keys; until then a running service holds to "
        "the keys of before, and one that starts lets nobody in",
    )
