"""Making, rotating and revoking keys: the changes of their file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tailorbird.access.file import change_keys
from tailorbird.access.keys import Key, Secret, digest_of, new_token, problems_of, token_with
from tailorbird.audit.record import KEY_NEW, KEY_REVOKE, KEY_ROTATE, at_this_terminal, record
from tailorbird.errors import UsageError
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Wish:
    """What a new key shall be; ``lasts`` is in seconds, None for ever."""

    name: str
    scopes: Sequence[str]
    lasts: float | None = None
    origins: Sequence[str] = ()
    limits: Sequence[str] = ()


def add_key(settings: Settings, wish: Wish, *, now: float) -> tuple[Key, str]:
    """The new key and its token, which is known to nobody afterwards.

    Raises:
        UsageError: there is no such key, or the file is damaged or full.
    """
    if problem := problems_of(scopes=wish.scopes, origins=wish.origins, limits=wish.limits):
        raise UsageError(problem, remedy="see docs/access.md")
    identity, token = new_token()
    key = Key(
        id=identity,
        name=wish.name,
        scopes=frozenset(wish.scopes),
        secrets=(Secret(digest_of(token.encode(), workspace=settings.workspace).hex()),),
        created=now,
        expires=None if wish.lasts is None else now + wish.lasts,
        origins=tuple(wish.origins),
        limits=tuple(wish.limits),
    )
    _write_down(settings, KEY_NEW, key)
    change_keys(settings.keys_file, lambda known: (*known, key))
    return key, token


def rotate_key(
    settings: Settings, key_id: str, *, now: float, overlap_seconds: float, lasts: float | None = None
) -> tuple[Key, str]:
    """The key and its new token; the one before opens for ``overlap_seconds`` more.

    Raises:
        UsageError: there is no such key, it is revoked, or the file is damaged.
    """
    token = token_with(key_id)
    digest = digest_of(token.encode(), workspace=settings.workspace).hex()

    def turned(key: Key) -> Key:
        if key.revoked is not None:
            raise UsageError(f"key {key_id} is revoked", remedy="make a new one with `tailorbird keys new`")
        new = key.rotated(digest, now=now, overlap_seconds=overlap_seconds)
        return new if lasts is None else replace(new, expires=now + lasts)

    return _changed(settings, key_id, turned, what=KEY_ROTATE), token


def revoke_key(settings: Settings, key_id: str, *, now: float, forget: bool = False) -> Key:
    """End a key; ``forget`` takes it off the list too.

    Raises:
        UsageError: there is no such key, or the file is damaged.
    """
    return _changed(
        settings,
        key_id,
        lambda key: key if key.revoked is not None else replace(key, revoked=now),
        what=KEY_REVOKE,
        forget=forget,
    )


def _changed(
    settings: Settings, key_id: str, change: Callable[[Key], Key], *, what: str, forget: bool = False
) -> Key:
    """Put the changed key in the place of the one of this id, and give it back."""
    done: list[Key] = []

    def put(known: tuple[Key, ...]) -> Sequence[Key]:
        found = next((key for key in known if key.id == key_id), None)
        if found is None:
            raise UsageError(
                f"workspace {settings.workspace!r} has no key {key_id!r}",
                remedy="`tailorbird keys list` names them",
            )
        done.append(change(found))
        _write_down(settings, what, done[0])
        return [done[0] if key is found else key for key in known if not (forget and key is found)]

    change_keys(settings.keys_file, put)
    return done[0]


def _write_down(settings: Settings, what: str, key: Key) -> None:
    detail = {"name": key.name, "scopes": sorted(key.scopes), "expires": key.expires}
    record(settings, who=at_this_terminal(), what=what, whom=key.id, detail=detail)
