"""Sends one delivery: to an address that may be called, signed, without following anybody anywhere."""

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import certifi
import httpx

from tailorbird import __version__
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.environment import secret_of
from tailorbird.triggers.addresses import Allowed, Origin
from tailorbird.triggers.delivery import ID_HEADER, SIGNATURE_HEADER, Delivery, signature, told_to
from tailorbird.triggers.state import problem_with
from tailorbird.triggers.trigger import Target

CallersIds = Callable[[Sequence[str]], Mapping[str, str]]
"""Gives the ids by which the operator's own systems know people, by person key; who has none is left out."""
MOST_ADDRESSES = 4
"""Of a host's addresses, so many are tried one after the other."""


@dataclass(frozen=True)
class Outcome:
    """Whether the target took it, why not, and how many seconds it asks to wait."""

    reason: str = ""
    status: int | None = None
    wait_seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether it need not be sent again."""
        return not self.reason


class Sender:
    """Calls one target, on connections of its own."""

    def __init__(
        self,
        target: Target,
        allowed: Allowed,
        *,
        callers_ids: CallersIds = lambda people: {},
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._target, self._allowed, self._clock = target, allowed, clock
        self._callers_ids = callers_ids
        self._client = httpx.Client(
            verify=_trusted(),
            follow_redirects=False,
            trust_env=False,  # a proxy would connect for us, to whatever the host's name says there
            timeout=target.timeout_seconds,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # a subscriber's are not kept
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, delivery: Delivery) -> Outcome:
        """Try once. Whatever a subscriber or the network does is an outcome, never an exception."""
        if problem := problem_with(self._target, self._allowed):
            return Outcome(problem)
        try:
            addresses = self._addresses()
        except OSError as error:
            return Outcome(f"no address of {Origin.of(self._target.url).host}: {error.strerror or error}")
        if not addresses:
            return Outcome(
                f"refused: {Origin.of(self._target.url).host} leads into an inner network, and its address is not listed"
            )
        try:
            body = told_to(delivery, self._callers_ids([delivery.person]))
        except TailorbirdError as error:
            return Outcome(f"the caller's id is not known now: {error.what}")
        outcome = Outcome()
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return self._sent_to(address, delivery, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                outcome = Outcome(_words(error, self._target))  # perhaps another address answers
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
                return Outcome(_words(error, self._target))
        return outcome

    def _addresses(self) -> list[str]:
        """Those of the host that may be connected to: what was looked at is what is connected to, not the name once more."""
        origin = Origin.of(self._target.url)
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        return self._allowed.reachable(origin, list(dict.fromkeys(str(each[4][0]) for each in found)))

    def _sent_to(self, address: str, delivery: Delivery, body: bytes) -> Outcome:
        url = httpx.URL(self._target.url)
        proof = signature(body, secret=secret_of(self._target.secret_env), at=self._clock())
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={
                "host": url.netloc.decode(),
                "content-type": "application/json",
                "user-agent": f"tailorbird/{__version__}",
                ID_HEADER: delivery.id,
                SIGNATURE_HEADER: proof,
            },
            extensions={"sni_hostname": url.host},  # the certificate must be the name's, not the address's
        )
        response = self._client.send(request, stream=True)  # its body is nobody's business
        response.close()
        return _outcome(response)


def _outcome(response: httpx.Response) -> Outcome:
    if response.is_success:
        return Outcome(status=response.status_code)
    if response.is_redirect:
        return Outcome(
            f"answered {response.status_code}: redirects are not followed, declare the address itself",
            response.status_code,
        )
    asked = response.headers.get("retry-after", "")
    wait = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 0.0
    return Outcome(f"answered {response.status_code}", response.status_code, wait)


def _words(error: Exception, target: Target) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {target.timeout_seconds:g} s"
    return f"{type(error).__name__}: {error}"[:200]


def _trusted() -> ssl.SSLContext:
    """The machine's own authorities (SSL_CERT_FILE names others), and the public ones where it has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
