"""Whether an engine's address is reached encrypted, and whose word is taken for it: plain text stays on this machine."""

from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tailorbird.plumbing.addresses import is_loopback
from tailorbird.plumbing.environment import postgres_hosts, ray_cluster, ray_is_encrypted, s3_endpoints
from tailorbird.plumbing.postgres import is_postgres

SYSTEM = "system"
"""What PostgreSQL's library calls the authorities that the machine itself trusts."""


def encrypted(address: str, *, ca: str = "", plain: bool = False) -> str:
    """The address with the authority ``ca`` (a file; empty: the machine's own) where it names none itself.

    A word such as ``sqlite``, and an address that cannot be read, come back as they are: their own reader judges them. With
    ``plain`` nothing is refused, and nothing is asked of a server that the address does not ask itself.

    Raises:
        ValueError: it leads beyond this machine, and not encrypted or to whoever answers.
    """
    scheme, there, rest = address.partition("://")
    if not there:
        return address
    address = f"{scheme.lower()}://{rest}"  # as every client reads it
    try:
        here = all(_is_here(host) for host in _hosts(address))
        found = _of_scheme(address)(address, ca, here or plain)
    except ValueError as error:
        if isinstance(error, _PlainError):
            raise ValueError(f"{error}; TAILORBIRD_PLAIN_ENGINES=true vouches for the network") from None
        if is_postgres(address) and not plain:  # its client reads more than we do
            raise ValueError(
                "it cannot be told where it leads: write letters such as [ and ] of a password as %5B and %5D; "
                "TAILORBIRD_PLAIN_ENGINES=true vouches for the network"
            ) from None
        return address
    return found


def is_plain(address: str) -> bool:
    """Whether this address leads beyond this machine without encryption, or to whoever answers."""
    try:
        encrypted(address)
    except ValueError:
        return True
    return False


def plain_storage() -> list[str]:
    """Endpoints of object storage, as its clients' own variables name them, that lead beyond this machine without encryption."""
    found = [each.lower() if "://" in each else f"http://{each.lower()}" for each in s3_endpoints()]
    return [
        each for each in found if not each.startswith("https://") and not all(map(_is_here, _hosts(each)))
    ]


def is_plain_ray(address: str) -> bool:
    """Whether a Ray cluster's address leads beyond this machine while its processes speak no TLS."""
    if address == "auto":
        address = ray_cluster()
    if address in ("", "auto", "local") or ray_is_encrypted():
        return False
    return not all(map(_is_here, _hosts(address if "://" in address else f"ray://{address}")))


class _PlainError(ValueError):
    """What goes to this address can be read, or changed, on its way."""


def _of_scheme(address: str) -> Callable[[str, str, bool], str]:
    if is_postgres(address):
        return _postgres
    known = {"kafka": _kafka, "redis": _redis, "rediss": _redis, "http": _http, "https": _http}
    return known.get(address.split("://", 1)[0], lambda address, ca, may_be_plain: address)


def _postgres(address: str, ca: str, may_be_plain: bool) -> str:
    options = _options(address)
    mode = options.get("sslmode", "")
    if not may_be_plain and mode not in ("", "verify-full"):
        raise _PlainError(f"sslmode={mode} believes whoever answers: leave it out, or write verify-full")
    if not mode and not may_be_plain:
        mode, address = "verify-full", _with(address, sslmode="verify-full")
    if mode == "verify-full" and "sslrootcert" not in options:
        return _with(address, sslrootcert=ca or SYSTEM)
    return address


def _kafka(address: str, ca: str, may_be_plain: bool) -> str:
    options = _options(address)
    protocol = options.get("security.protocol", "").lower()
    tls = "ssl" in protocol if protocol else options.get("tls", "on" if _files(options) else "off") == "on"
    if not may_be_plain and not tls:
        raise _PlainError("events would go there as plain text: add tls=on")
    unchecked = [
        name for name, good in _CHECKED.items() if name in options and options[name].lower() not in good
    ]
    if not may_be_plain and unchecked:
        raise _PlainError(f"{unchecked[0]} believes whoever answers: leave it out")
    if tls and ca and not {"ca", "ssl.ca.location", "ssl.ca.pem"} & options.keys():
        return _with(address, ca=ca)
    return address


_CHECKED = {
    "enable.ssl.certificate.verification": ("true", "t", "1"),
    "ssl.endpoint.identification.algorithm": ("https",),
}


def _redis(address: str, ca: str, may_be_plain: bool) -> str:
    tls = address.startswith("rediss://")
    if not may_be_plain and not tls:
        raise _PlainError("profiles would go there as plain text: write rediss://")
    return _with(address, ca=ca) if tls and ca and "ca" not in _options(address) else address


def _http(address: str, ca: str, may_be_plain: bool) -> str:
    if not may_be_plain and address.startswith("http://"):
        raise _PlainError("runs and models would go there as plain text: write https://")
    return address


def _files(options: dict[str, str]) -> set[str]:
    return {"ca", "cert", "key"} & options.keys()


def _options(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))


def _with(address: str, **more: str) -> str:
    joined = "&".join(f"{name}={quote(value, safe='/')}" for name, value in more.items())
    return f"{address}{'&' if '?' in address else '?'}{joined}"


def _hosts(address: str) -> Sequence[str]:
    """The hosts of an address, without their ports; PostgreSQL's may stand among its options."""
    parts = urlsplit(address)
    places = [_without_port(place) for place in parts.netloc.rpartition("@")[2].split(",") if place]
    if is_postgres(address):
        options = _options(address)
        if "service" in options:  # a file of the machine says where that is
            return [options["service"]]
        if options.get("hostaddr"):
            return options["hostaddr"].split(",")
        told = [unquote(host) for host in (options["host"].split(",") if options.get("host") else places)]
        return postgres_hosts(named=bool(told)) or told
    return places


def _without_port(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0]


def _is_here(host: str) -> bool:
    """Loopback, or a socket in a folder of this machine."""
    return host.startswith("/") or is_loopback(host)
