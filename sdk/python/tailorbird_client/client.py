"""The two clients: the same calls, one that waits and one to await. Safe to share between threads, or between tasks."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

import httpx

from tailorbird_client import calls
from tailorbird_client.answers import Collected, Consented, Linked, Recommendations
from tailorbird_client.arguments import Asking, Patience, Ranking, Recommending, Waiting
from tailorbird_client.attempts import Attempts, TryAgainError, read
from tailorbird_client.calls import Answer, Call
from tailorbird_client.errors import UnavailableError
from tailorbird_client.events import Event
from tailorbird_client.profiles import Profile

Fallback = Callable[[Mapping[str, Any]], Sequence[str]]
"""Item ids for a question (in the platform's JSON), while the platform is away."""


class Client:
    """Asks the platform at ``base_url``; close it, or use it as a context manager.

    ``timeout`` seconds an attempt, ``deadline`` seconds a call, ``retries`` more attempts than one. ``fallback`` answers
    questions while the platform is away. ``api_key`` is sent with every call: not beyond this machine as plain text, unless
    ``plain`` vouches for the network between. ``admin_url`` is where admin answers, which
    listens on its own machine only: by default there, at the port after that of ``base_url``. ``ca`` is the file (PEM) of the
    authority that has signed the platform's certificate, where the machine does not know it. ``transport`` is for tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 1.0,
        deadline: float = 3.0,
        retries: int = 2,
        fallback: Fallback | None = None,
        api_key: str | None = None,
        admin_url: str | None = None,
        ca: str | Path | None = None,
        plain: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = Patience(timeout, deadline, retries)
        self._fallback = fallback
        self._admin_url = _admin_url(base_url) if admin_url is None else admin_url.rstrip("/")
        self._http = httpx.Client(
            base_url=base_url,
            headers=_carrying(api_key, to=() if plain else (base_url, self._admin_url)),
            verify=_believing(ca),
            transport=transport,
        )

    def recommend(self, **asked: Unpack[Recommending]) -> Recommendations:
        """Items that fit this person now; the arguments are those of ``calls.recommend``, with ``timeout`` and ``deadline``."""
        waiting, rest = Waiting.split(asked)
        return self._answered(calls.recommend(**rest), waiting)

    def rank(self, item_ids: Sequence[str], **asked: Unpack[Ranking]) -> Recommendations:
        """The best order of ``item_ids`` for this person; while the platform is away and without a fallback, as they are."""
        waiting, rest = Waiting.split(asked)
        return self._answered(calls.rank(item_ids, **rest), waiting)

    def similar(
        self, item_id: str, *, num_results: int | None = None, **wait: Unpack[Asking]
    ) -> Recommendations:
        """Neighbours of an item."""
        return self._answered(calls.similar(item_id, num_results=num_results), Waiting.split(wait)[0])

    def collect(self, events: Sequence[Event], **wait: Unpack[Asking]) -> Collected:
        """Tell what people did; when this returns it is stored, and the next answer reflects it."""
        if not events:
            return Collected()
        return self._sent(calls.collect(events), Waiting.split(wait)[0])

    def login(self, user_id: str, *, anonymous_id: str, **wait: Unpack[Asking]) -> Linked:
        """What was done under an anonymous id belongs to the user from now on."""
        return self._sent(calls.login(user_id, anonymous_id=anonymous_id), Waiting.split(wait)[0])

    def part(self, user_id: str, *, anonymous_id: str, **wait: Unpack[Asking]) -> Linked:
        """The two ids are strangers again."""
        return self._sent(calls.part(user_id, anonymous_id=anonymous_id), Waiting.split(wait)[0])

    def consent(
        self,
        user_id: str,
        purposes: Mapping[str, bool],
        *,
        anonymous: bool = False,
        version: str = "",
        source: str = "",
        proof: str = "",
        **wait: Unpack[Asking],
    ) -> Consented:
        """Say what a person allows and refuses, by purpose; the next answer holds to it. ``anonymous``: the id is such a one."""
        call = calls.consent(
            user_id, purposes, anonymous=anonymous, version=version, source=source, proof=proof
        )
        return self._sent(call, Waiting.split(wait)[0])

    def profile(
        self,
        user_id: str,
        *,
        anonymous: bool = False,
        at: dt.datetime | None = None,
        **wait: Unpack[Asking],
    ) -> Profile:
        """What admin knows of a person, now or as it was known ``at`` an instant; ``anonymous``: the id is such a one."""
        return self._sent(calls.profile(user_id, anonymous=anonymous, at=at), Waiting.split(wait)[0])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answered(self, call: Call[Recommendations], waiting: Waiting) -> Recommendations:
        try:
            return self._sent(call, waiting)
        except UnavailableError:
            if self._fallback is None:
                raise
            return Recommendations.own(self._fallback(call.asked))

    def _sent(self, call: Call[Answer], waiting: Waiting) -> Answer:
        attempts = self._patience.begin(waiting, now=time.monotonic())
        url = self._admin_url + call.path if call.of_admin else call.path
        while True:
            seconds, said = attempts.seconds_for_next(time.monotonic()), None
            try:
                return read(call, self._http.request(call.method, url, json=call.body(), timeout=seconds))
            except TryAgainError as again:
                attempts.last, said = str(again), again.seconds
            except httpx.TransportError as error:
                attempts.last = f"{type(error).__name__}: {error}"
            time.sleep(attempts.pause(said=said, now=time.monotonic()))


class AsyncClient:
    """As :class:`Client`, to await; its deadlines hold for the whole call, also where single bytes trickle in."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 1.0,
        deadline: float = 3.0,
        retries: int = 2,
        fallback: Fallback | None = None,
        api_key: str | None = None,
        admin_url: str | None = None,
        ca: str | Path | None = None,
        plain: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience = Patience(timeout, deadline, retries)
        self._fallback = fallback
        self._admin_url = _admin_url(base_url) if admin_url is None else admin_url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=_carrying(api_key, to=() if plain else (base_url, self._admin_url)),
            verify=_believing(ca),
            transport=transport,
        )

    async def recommend(self, **asked: Unpack[Recommending]) -> Recommendations:
        """As :meth:`Client.recommend`."""
        waiting, rest = Waiting.split(asked)
        return await self._answered(calls.recommend(**rest), waiting)

    async def rank(self, item_ids: Sequence[str], **asked: Unpack[Ranking]) -> Recommendations:
        """As :meth:`Client.rank`."""
        waiting, rest = Waiting.split(asked)
        return await self._answered(calls.rank(item_ids, **rest), waiting)

    async def similar(
        self, item_id: str, *, num_results: int | None = None, **wait: Unpack[Asking]
    ) -> Recommendations:
        """As :meth:`Client.similar`."""
        return await self._answered(calls.similar(item_id, num_results=num_results), Waiting.split(wait)[0])

    async def collect(self, events: Sequence[Event], **wait: Unpack[Asking]) -> Collected:
        """As :meth:`Client.collect`."""
        if not events:
            return Collected()
        return await self._sent(calls.collect(events), Waiting.split(wait)[0])

    async def login(self, user_id: str, *, anonymous_id: str, **wait: Unpack[Asking]) -> Linked:
        """As :meth:`Client.login`."""
        return await self._sent(calls.login(user_id, anonymous_id=anonymous_id), Waiting.split(wait)[0])

    async def part(self, user_id: str, *, anonymous_id: str, **wait: Unpack[Asking]) -> Linked:
        """As :meth:`Client.part`."""
        return await self._sent(calls.part(user_id, anonymous_id=anonymous_id), Waiting.split(wait)[0])

    async def consent(
        self,
        user_id: str,
        purposes: Mapping[str, bool],
        *,
        anonymous: bool = False,
        version: str = "",
        source: str = "",
        proof: str = "",
        **wait: Unpack[Asking],
    ) -> Consented:
        """Say what a person allows and refuses, by purpose; the next answer holds to it. ``anonymous``: the id is such a one."""
        call = calls.consent(
            user_id, purposes, anonymous=anonymous, version=version, source=source, proof=proof
        )
        return await self._sent(call, Waiting.split(wait)[0])

    async def profile(
        self,
        user_id: str,
        *,
        anonymous: bool = False,
        at: dt.datetime | None = None,
        **wait: Unpack[Asking],
    ) -> Profile:
        """As :meth:`Client.profile`."""
        return await self._sent(calls.profile(user_id, anonymous=anonymous, at=at), Waiting.split(wait)[0])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _answered(self, call: Call[Recommendations], waiting: Waiting) -> Recommendations:
        try:
            return await self._sent(call, waiting)
        except UnavailableError:
            if self._fallback is None:
                raise
            return Recommendations.own(self._fallback(call.asked))

    async def _sent(self, call: Call[Answer], waiting: Waiting) -> Answer:
        attempts: Attempts = self._patience.begin(waiting, now=time.monotonic())
        url = self._admin_url + call.path if call.of_admin else call.path
        while True:
            seconds, said = attempts.seconds_for_next(time.monotonic()), None
            try:
                async with asyncio.timeout(seconds):
                    response = await self._http.request(call.method, url, json=call.body(), timeout=seconds)
                return read(call, response)
            except TryAgainError as again:
                attempts.last, said = str(again), again.seconds
            except (httpx.TransportError, TimeoutError) as error:
                attempts.last = f"{type(error).__name__}: {error}"
            await asyncio.sleep(attempts.pause(said=said, now=time.monotonic()))


def _carrying(api_key: str | None, *, to: Sequence[str]) -> dict[str, str]:
    if not api_key:
        return {}
    for url in map(httpx.URL, to):
        if url.scheme != "https" and not _is_here(url.host):
            raise ValueError(
                f"the key would go to {url.host} as plain text: write https://, or vouch for the network: plain=True"
            )
    return {"authorization": f"Bearer {api_key}"}


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _believing(ca: str | Path | None) -> ssl.SSLContext | bool:
    return True if ca is None else ssl.create_default_context(cafile=ca)


def _admin_url(base_url: str) -> str:
    url = httpx.URL(base_url)
    return f"http://127.0.0.1:{(url.port or {'http': 80, 'https': 443}.get(url.scheme, 0)) + 1}"
