"""Which addresses may be called: origins that the operator listed, and no machine of the inner network unless it is named."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tailorbird.plumbing.addresses import without_secret

SETTING = "TAILORBIRD_TRIGGER_ORIGINS"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Origin:
    """Scheme, host (lower case) and port of an address."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of a URL that :meth:`problem_of` found nothing wrong with."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])

    @staticmethod
    def problem_of(url: str) -> str:
        """Why a URL cannot be called, whoever listed it; "" where it can."""
        shown = repr(without_secret(url))
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            return f"{shown} is no address: {error}"
        if parts.scheme not in _PORTS or not parts.hostname or port == 0 or not url.isascii() or " " in url:
            return f"{shown} is no address such as https://crm.example.com/hooks"
        if parts.username is not None or parts.fragment:
            return f"{shown} holds a user or a fragment: give scheme, host, port and path"
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            return f"{shown} is not encrypted: https is needed, except for 127.0.0.1, ::1 and localhost"
        return ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port != _PORTS[self.scheme] else "")


@dataclass(frozen=True)
class Allowed:
    """The origins that may be called, and the addresses among their hosts, which may belong to an inner network."""

    origins: frozenset[Origin]
    named: frozenset[Address]

    @classmethod
    def of(cls, listed: Iterable[str]) -> "Allowed":
        """What an operator listed (see the setting ``trigger_origins``, which checks each)."""
        origins = frozenset(Origin.of(each) for each in listed)
        return cls(
            origins, frozenset(found for each in origins if (found := _literal(each.host)) is not None)
        )

    def refusal(self, url: str) -> str:
        """Why a URL may not be called; "" where it may."""
        if problem := Origin.problem_of(url):
            return problem
        origin = Origin.of(url)
        return "" if origin in self.origins else f"{origin} is not among {SETTING}"

    def reachable(self, origin: Origin, found: Sequence[str]) -> list[str]:
        """Of the addresses that a host has, those that may be connected to.

        Public ones, those that the operator's list names as hosts, and for ``localhost`` this machine itself: whoever
        answers for a host's name must not be able to point it into the inner network.
        """
        return [each for each in found if self._may(origin, ipaddress.ip_address(each.split("%")[0]))]

    def _may(self, origin: Origin, address: Address) -> bool:
        plain = _embedded(address)
        if address in self.named or plain in self.named:
            return True
        if origin.host == "localhost":
            return plain.is_loopback
        return plain.is_global and not plain.is_multicast


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for; itself where it stands for none."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and (address in _NAT64 or 1 < int(address) < 2**32):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address if inner is None else inner


def _is_loopback(host: str) -> bool:
    found = _literal(host)
    return host == "localhost" if found is None else found.is_loopback


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
