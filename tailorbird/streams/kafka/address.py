"""The address of a Kafka cluster: what the setting ``events`` says, and the client's properties that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import without_secret

PORT = 9092
PREFIX = "tailorbird"
OURS = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "isolation.level",
        "message.timeout.ms",
        "metadata.broker.list",
        "request.required.acks",
        "sasl.password",
        "transactional.id",
    }
)
"""Properties of the client that the promises of a stream rest on: no option may change them."""


@dataclass(frozen=True)
class KafkaAddress:
    """Where the brokers are, how topics are named and made, and what the client needs to get in.

    ``replication`` -1 is the broker's own default; ``wait_seconds`` is how long an append or a read waits for brokers.
    """

    servers: str
    prefix: str = PREFIX
    partitions: int = 6
    replication: int = -1
    retention_hours: float = 168.0
    wait_seconds: float = 3.0
    client: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str, *, password: str = "") -> "KafkaAddress":
        """Read ``kafka://host:port[,host:port]/[prefix]?options``.

        Raises:
            UsageError: it is no such address, or an option is unknown or wrong.
        """
        parts = urlsplit(url)
        if "@" in url.partition("?")[0]:  # a password may hold a slash
            raise UsageError(
                "setting events holds a user or a password before its host",
                remedy="give the option user=… and put the password into TAILORBIRD_EVENTS_PASSWORD",
            )
        hosts = [host for host in parts.netloc.split(",") if host]
        if not hosts:
            raise UsageError(
                f"setting events = {without_secret(url)!r} names no broker",
                remedy="write kafka://host:port[,host:port]/[prefix]?options",
            )
        options: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in options:
                raise _wrong(name, value, "is given twice")
            options[name] = value
        values = {name: read(name, options[name]) for name, read in _NUMBERS.items() if name in options}
        client = _client(options, password=password)
        prefix = parts.path.strip("/") or PREFIX
        if not set(prefix) <= _IN_NAMES:
            raise UsageError(
                f"setting events: prefix {prefix!r} cannot begin the name of a topic",
                remedy="use letters, digits, '.', '_' and '-'",
            )
        servers = ",".join(host if _has_port(host) else f"{host}:{PORT}" for host in hosts)
        return cls(servers=servers, prefix=prefix, client=client, **values)  # type: ignore[arg-type]

    def topic(self, workspace: str, stream: str) -> str:
        """The name of a workspace's topic."""
        return f"{self.prefix}.{workspace}.{stream}"


_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")


def _wrong(name: str, value: str, what: str) -> UsageError:
    # An unknown option may hold a password as well: it may be a known one, misspelt.
    secret = name not in (*_NUMBERS, *_WORDS) or any(each in name for each in ("password", "secret", "key"))
    shown = name if secret else f"{name} = {value!r}"
    return UsageError(f"setting events: option {shown} {what}", remedy="see docs/guides/kafka.md")


def _whole(least: int, most: int) -> Callable[[str, str], float]:
    def read(name: str, value: str) -> float:
        if not value.lstrip("-").isdigit() or not least <= int(value) <= most:
            raise _wrong(name, value, f"is no whole number from {least} to {most}")
        return int(value)

    return read


def _decimal(least: float, most: float) -> Callable[[str, str], float]:
    def read(name: str, value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise _wrong(name, value, f"is no number from {least:g} to {most:g}")
        return number

    return read


_NUMBERS: dict[str, Callable[[str, str], float]] = {
    "partitions": _whole(1, 1_000),
    "replication": _whole(-1, 32),
    "retention_hours": _decimal(1, 1_000_000),
    "wait_seconds": _decimal(0.5, 120),
}
_WORDS = ("tls", "ca", "cert", "key", "sasl", "user")


def _client(options: Mapping[str, str], *, password: str) -> dict[str, str]:
    """The client's properties; a name with a dot is one of librdkafka's own."""
    for name in options:
        if name in OURS:
            raise _wrong(name, options[name], "cannot be chosen: the stream's promises rest on it")
        if "." not in name and name not in _NUMBERS and name not in _WORDS:
            raise _wrong(name, options[name], f"is unknown; known are {', '.join((*_NUMBERS, *_WORDS))}")
    client = {name: value for name, value in options.items() if "." in name}
    tls = options.get("tls", "on" if options.keys() & {"ca", "cert", "key"} else "off")
    if tls not in ("on", "off"):
        raise _wrong("tls", tls, "is neither on nor off")
    for option, name in (("ca", "ca"), ("cert", "certificate"), ("key", "key")):
        if file := options.get(option):
            if not Path(file).is_file():
                raise _wrong(option, file, "is no file")
            client[f"ssl.{name}.location"] = file
    sasl = options.get("sasl", "PLAIN" if "user" in options else "")
    if sasl:
        client |= {
            "sasl.mechanism": sasl,
            "sasl.username": options.get("user", ""),
            "sasl.password": password,
        }
    protocol = ("sasl_" if sasl else "") + ("ssl" if tls == "on" else "plaintext")
    return {"security.protocol": protocol, **client}
