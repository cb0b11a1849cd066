"""Redis as an address: what a setting such as ``redis://host:6379/0`` says, how it is reached, and what its errors ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tailorbird.errors import TailorbirdError, UsageError

if TYPE_CHECKING:
    from redis import Redis

SCHEMES = ("redis", "rediss")
_OPTIONS = ("prefix", "cluster", "ca", "cert", "key")
_EXAMPLE = "redis://host:6379/0 or rediss://user:password@host:6380/0?ca=/etc/ssl/redis-ca.pem"


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis is. Its text has no password.

    ``prefix`` begins every key, ``cluster`` speaks to a Redis Cluster, ``ca`` is the file of the certificate authority that
    a ``rediss`` server is checked against (the machine's own where empty), ``cert`` and ``key`` are shown to it.
    """

    host: str
    port: int = 6379
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    cluster: bool = False
    prefix: str = "tailorbird"
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        scheme, host = "rediss" if self.tls else "redis", f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, text: str, *, setting: str) -> "RedisAddress":
        """Read an address. Raises UsageError, which names ``setting`` and never the password."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or 6379
            database = int(parts.path.strip("/") or 0)
            options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError:
            raise _wrong(setting, "it cannot be read") from None
        unknown = sorted(set(options) - set(_OPTIONS))
        if parts.scheme not in SCHEMES or not host or database < 0:
            raise _wrong(setting, "it has no scheme, host or database of a Redis")
        if unknown:
            raise _wrong(setting, f"there is no option {unknown[0]!r}, only {', '.join(_OPTIONS)}")
        tls, cluster = parts.scheme == "rediss", options.get("cluster", "false")
        files = [name for name in ("ca", "cert", "key") if name in options]
        if cluster not in ("true", "false"):
            raise _wrong(setting, f"cluster is {cluster!r}, not true or false")
        if cluster == "true" and database:
            raise _wrong(setting, "a Redis Cluster has only database 0; tell workspaces apart by prefix")
        if files and not tls:
            raise _wrong(setting, f"{files[0]} is for rediss://, not redis://")
        if missing := [name for name in files if not Path(options[name]).is_file()]:
            raise _wrong(setting, f"{missing[0]} = {options[missing[0]]!r} is no file")
        if not all(letter.isalnum() or letter in "-_.:" for letter in options.get("prefix", "")):
            raise _wrong(setting, "prefix has other letters than a-z, 0-9 and -_.:")
        return cls(
            host=host,
            port=port,
            database=database,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=tls,
            cluster=cluster == "true",
            prefix=options.get("prefix", "tailorbird"),
            **{name: options[name] for name in files},
        )

    def connect(self, *, timeout_seconds: float) -> "Redis":
        """A client, which connects when it is used and may be shared by threads.

        It waits ``timeout_seconds`` for an answer, and asks again once where the connection had gone. Raises
        TailorbirdError where the client library is not installed.
        """
        errors_of_client()
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        common: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "username": self.user or None,
            "password": self.password or None,
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            **self._tls(),
        }
        if self.cluster:
            return redis.RedisCluster(**common)  # type: ignore[return-value]
        return redis.Redis(db=self.database, **common)

    def _tls(self) -> Mapping[str, object]:
        if not self.tls:
            return {}
        return {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": self.ca or None,
            "ssl_certfile": self.cert or None,
            "ssl_keyfile": self.key or None,
        }


def errors_of_client() -> tuple[type[Exception], ...]:
    """What the client library raises. Raises TailorbirdError where it is not installed."""
    try:
        from redis import RedisError
    except ImportError as error:
        raise TailorbirdError(
            "Redis needs a client library that is not installed",
            remedy="run `pip install 'tailorbird[redis]'`",
        ) from error
    return RedisError, OSError


def remedy_of(message: str) -> str:
    """What to do about an error of Redis."""
    for sign, remedy in _REMEDIES.items():
        if sign in message:
            return remedy
    return "look at the server's own log"


_REMEDIES = {
    "used memory >": "raise its maxmemory, or free some; what is in the event log is folded in afterwards",
    "NOAUTH": "give user and password in the address",
    "WRONGPASS": "correct user and password in the address",
    "invalid username-password": "correct user and password in the address",
    "NOPERM": "let this user run the commands that docs/guides/redis.md lists",
    "READONLY": "name the primary: this server is a replica",
    "MISCONF": "let it save to its disk again, which is full or not writable",
    "LOADING": "wait until it has read its file",
    "MOVED": "it is a Redis Cluster: add cluster=true to the address",
    "CROSSSLOT": "it is a Redis Cluster: add cluster=true to the address",
    "cluster support disabled": "it is no Redis Cluster: take cluster=true from the address",
    "Cluster mode is not enabled": "it is no Redis Cluster: take cluster=true from the address",
    "certificate has expired": "have its certificate renewed, or set this machine's clock",
    "mismatch": "name the host as its certificate does",
    "certificate verify failed": "give the authority of its certificate: TAILORBIRD_TLS_CA, or ca=",
    "wrong version number": "it does not speak TLS: use redis://, or its TLS port",
    "Connection closed by server": "it may speak TLS only: use rediss:// and its TLS port",
    "refused": "start it, or correct host and port in the address",
    "imed out": "see whether it is overloaded or behind a firewall",
    "Timeout": "see whether it is overloaded, behind a firewall, or speaks no TLS",
    "Name or service not known": "correct the host in the address",
    "Temporary failure in name resolution": "correct the host in the address, or wait for the name server",
}


def _wrong(setting: str, why: str) -> UsageError:
    return UsageError(f"setting {setting}: {why}", remedy=f"write it as {_EXAMPLE}")
