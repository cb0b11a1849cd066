"""The platform that serves a workspace on this machine, asked through its admin port; imports nothing that takes time."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlsplit

from registry.who import whoami
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.served import read_served
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings

FIND_SECONDS = 3.0
"""How long admin may be silent, its replicas being replaced, before the platform counts as away."""
MOVE_SECONDS = 300.0
FOLLOW_SECONDS = 60.0
LOOK_SECONDS = 0.05
_EXIT_CODES = {"gates-refuse": 3, "moved-before": 4}


class PlatformError(TailorbirdError):
    """The platform refused, or did not answer; ``findings`` are what its gates found."""

    def __init__(
        self, what: str, *, remedy: str = "", slug: str = "", findings: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.exit_code = _EXIT_CODES.get(slug, 1)
        self.findings = list(findings)


@dataclass(frozen=True)
class Following:
    """What one live replica serves for one arm, and why it is not what was asked for."""

    replica: str
    arm: str
    version: str
    trouble: str

    def to_dict(self) -> dict[str, str]:
        """Plain values, for a table and for JSON."""
        return {
            "replica": self.replica,
            "arm": self.arm,
            "version": self.version or "none",
            "trouble": self.trouble,
        }


@dataclass(frozen=True)
class Platform:
    """A running platform; ``address`` is its admin's, ``key`` what is sent there."""

    address: str
    key: str = field(default="", repr=False)

    def promote(self, version: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a promotion; ``order`` is the body of POST /v1/models/{version}:promote."""
        which = quote(version.removeprefix("@"), safe="")
        return self._ask(
            "POST", f"/v1/models/{which}:promote", {**order, "who": whoami()}, timeout=MOVE_SECONDS
        )

    def roll_back(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a rollback; ``order`` is the body of POST /v1/models:rollback."""
        return self._ask("POST", "/v1/models:rollback", {**order, "who": whoami()}, timeout=MOVE_SECONDS)

    def followed(self, alias: str, version: str) -> list[Following]:
        """Wait until every live replica serves ``version`` for the arms of ``alias``, or says why it does not."""
        deadline = time.monotonic() + FOLLOW_SECONDS
        while True:
            arms = [
                arm for arm in self._ask("GET", "/v1/arms", timeout=10.0)["arms"] if arm["alias"] == alias
            ]
            found = [
                Following(each["replica"], arm["name"], each["version"], each["trouble"])
                for arm in arms
                for each in arm["replicas"]
            ]
            late = [each for each in found if each.version != version and not each.trouble]
            if not arms or (found and not late) or time.monotonic() > deadline:
                return found
            time.sleep(LOOK_SECONDS)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float
    ) -> dict[str, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **({"x-api-key": self.key} if self.key else {})}
        try:
            with closing(HTTPConnection(urlsplit(self.address).netloc, timeout=timeout)) as connection:
                connection.request(method, path, body=raw, headers=headers)
                response = connection.getresponse()
                return _answer(response)
        except (OSError, HTTPException) as error:
            raise PlatformError(
                f"the platform at {self.address} did not answer {method} {path}: {error or type(error).__name__}",
                remedy="`tailorbird decisions` says whether the alias moved",
            ) from error


def running_platform(settings: Settings) -> Platform | None:
    """The platform that serves this workspace on this machine; None where none does, or its admin stays silent."""
    served = read_served(settings)
    if served is None:
        return None
    platform = Platform(served.admin, settings.api_key)
    deadline = time.monotonic() + FIND_SECONDS
    while _lives(served.pid):
        try:
            alive = platform._ask("GET", "/health/live", timeout=FIND_SECONDS)
            return platform if alive.get("workspace") == settings.workspace else None
        except PlatformError:
            if time.monotonic() > deadline:
                say(
                    f"the platform at {platform.address} does not answer; its replicas follow when they next look"
                )
                return None
            time.sleep(LOOK_SECONDS)
    return None


def _answer(response: HTTPResponse) -> dict[str, Any]:
    text = response.read()
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        answer = {"detail": f"{response.status} {text[:200]!r}"}
    if response.status < 400:
        return answer
    raise PlatformError(
        str(answer.get("detail", response.reason)),
        remedy=str(answer.get("remedy", "see the replica's log")),
        slug=str(answer.get("type", "")).rpartition(":")[2],
        findings=answer.get("errors", ()),
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
