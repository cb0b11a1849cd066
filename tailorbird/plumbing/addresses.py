"""Addresses of engines: how they are shown and reached."""

import socket
from urllib.parse import urlsplit, urlunsplit


def without_secret(address: str) -> str:
    """The address as it may be shown: without its password, and without a query, which may hold one."""
    parts = urlsplit(address)
    if parts.password is None and not parts.query:
        return address
    place = parts.netloc.rpartition("@")[2]
    who = f"{parts.username}:***@" if parts.password is not None else ""
    who = who or (f"{parts.username}@" if parts.username else "")
    return urlunsplit((parts.scheme, who + place, parts.path, "", ""))


def reaches(host: str, port: int, *, seconds: float) -> str:
    """Why nothing listens at ``host``:``port`` as far as this machine can tell; empty where something does."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""
