"""Keys of every kind, good and wrong, put into a workspace; and every route of a description, ready to call."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.http.access import Access
from tailorbird.access.file import change_keys
from tailorbird.access.keys import SCOPES, Key, Secret, digest_of, new_token, token_with
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Keys:
    """Tokens: one a scope, and by their fault those that open nothing."""

    good: Mapping[str, str]
    wrong: Mapping[str, str]

    def without(self, scopes: frozenset[str]) -> str:
        """A good token that may everything but this; none may more than one thing, so one of another scope."""
        return self.good[next(scope for scope in SCOPES if scope not in scopes)]


def look(access: Access) -> None:
    """A second goes by: the file of keys is looked at before the next call."""
    access.gate.ring._file._looked = float("-inf")


def put_keys(settings: Settings, access: Access, **more: object) -> Keys:
    """Make them, and have them known."""
    now = time.time()
    made: list[Key] = []

    def make(*scopes: str, workspace: str = settings.workspace, **shape: Any) -> tuple[Key, str]:
        identity, token = new_token()
        key = Key(
            id=identity,
            name="test",
            scopes=frozenset(scopes),
            secrets=(Secret(digest_of(token.encode(), workspace=workspace).hex()),),
            created=now,
            **shape,
        )
        return key, token

    def keep(*scopes: str, **shape: Any) -> str:
        key, token = make(*scopes, **shape)
        made.append(key)
        return token

    good = {scope: keep(scope, **more) for scope in SCOPES}
    turned, old = make(*SCOPES)
    made.append(
        replace(
            turned,
            secrets=(Secret("0" * 64), *(Secret(each.digest, now - 1) for each in turned.secrets)),
        )
    )
    wrong = {
        "none": "",
        "no token": "secret",
        "unknown": make(*SCOPES)[1],
        "wrong secret": token_with(made[0].id),
        "expired": keep(*SCOPES, expires=now - 1),
        "revoked": keep(*SCOPES, revoked=now - 1),
        "rotated away": old,
        "other workspace": keep(*SCOPES, workspace="another"),
    }
    change_keys(settings.keys_file, lambda known: [*known, *made])
    look(access)
    return Keys(good, wrong)


def routes_of(description: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Method, template and a path for each operation of an OpenAPI document."""
    for template, methods in description["paths"].items():
        for method in methods:
            yield method.upper(), template, re.sub(r"\{[^}]*\}", "champion", template)
