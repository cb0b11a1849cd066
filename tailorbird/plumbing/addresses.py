"""Addresses of engines: how they are shown and reached."""

import ipaddress
import re
import socket

HIDDEN = "***"
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")


def without_secret(address: str) -> str:
    """The address as it may be shown: without its password, and without a query or fragment, which may hold one.

    Where it cannot be told what is the password, only scheme and host are shown, or the scheme alone.
    """
    scheme, there, rest = address.partition("://")
    if not there:  # a word, a path, or keywords such as host=… password=…
        return HIDDEN if set("=@") & set(address) and not address.startswith(("/", ".")) else address
    before, _, after = rest.rpartition("@")
    if ":" in before and set("/?#@") & set(before):  # a password may go on up to here, or a query hold an @
        place = "" if set("?#") & set(before) else "@" + re.split("[/?#]", after)[0]
        return f"{scheme}://{HIDDEN}{place}"
    user, at, place = re.split("[?#]", rest)[0].rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{scheme}://{name}{':' + HIDDEN if colon else ''}{at}{place}"


def reaches(host: str, port: int, *, seconds: float) -> str:
    """Why nothing listens at ``host``:``port`` as far as this machine can tell; empty where something does."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's alone; no name but ``localhost`` is taken for one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_origin(text: str) -> bool:
    """Whether this is an origin as browsers write it: scheme and host in lower case, a port perhaps, and no path."""
    return _ORIGIN.fullmatch(text) is not None
