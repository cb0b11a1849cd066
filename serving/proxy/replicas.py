"""Which replicas there are: read from the configuration that Ray Serve writes for a proxy of its own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BACKEND = re.compile(r"^backend (\S+)\s*$", re.MULTILINE)
_SERVER = re.compile(r"^ +server (SERVE_REPLICA\S+) (\S+):(\d+) (?!.*\bbackup\b)", re.MULTILINE)
_PREFIX = re.compile(r"^ +acl is_(\S+) path (\S+)\s*$", re.MULTILINE)
_CHECK = re.compile(r"^ +option httpchk GET (\S+)", re.MULTILINE)
RAYS_CHECK = "/-/healthz"


@dataclass(frozen=True)
class Replica:
    """Where one replica listens."""

    name: str
    host: str
    port: int


@dataclass(frozen=True)
class Application:
    """One Serve application: its route prefix, its replicas, and the path that tells whether one is well."""

    name: str
    prefix: str
    health_path: str
    replicas: tuple[Replica, ...]


def applications(text: str) -> tuple[Application, ...]:
    """The applications of Ray's HAProxy configuration (Ray 2.60), the longest prefix first; without any, ()."""
    prefixes = dict(_PREFIX.findall(text))
    return _longest_first(_found(text, prefixes))


def with_empty(found: Iterable[Application], routes: Mapping[str, str]) -> tuple[Application, ...]:
    """``found``, and without replicas each application of ``routes`` (name ▸ prefix) that is missing from it."""
    known = {each.prefix: each for each in found}
    return _longest_first(
        known.get(prefix) or Application(name, prefix, RAYS_CHECK, ()) for name, prefix in routes.items()
    )


def _longest_first(found: Iterable[Application]) -> tuple[Application, ...]:
    return tuple(sorted(found, key=lambda each: (-len(each.prefix), each.prefix)))


def _found(text: str, prefixes: dict[str, str]) -> Iterable[Application]:
    starts = list(_BACKEND.finditer(text))
    for start, following in zip(starts, [*starts[1:], None], strict=False):
        section = text[start.end() : following.start() if following else len(text)]
        section = section.split("\nlisten ", 1)[0]
        check = _CHECK.search(section)
        servers = _SERVER.findall(section)
        if start[1] in prefixes and servers:
            yield Application(
                name=start[1],
                prefix=prefixes[start[1]],
                health_path=check[1] if check else RAYS_CHECK,
                replicas=tuple(Replica(name, host, int(port)) for name, host, port in servers),
            )
