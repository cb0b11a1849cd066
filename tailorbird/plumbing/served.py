"""Where the platform of a workspace answers on this machine, and what `tailorbird serve` notes of itself while it runs."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tailorbird.settings import Settings

RECORD = "serving.json"
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (compared with)


@dataclass(frozen=True)
class Served:
    """Who serves: its process, the folder of its cluster, and where its admin answers."""

    pid: int
    folder: str
    admin: str


def read_served(settings: Settings) -> Served | None:
    """What the one who serves this workspace has noted; None where nobody has."""
    try:
        record = json.loads((settings.folder / RECORD).read_text("utf-8"))
        return Served(int(record["pid"]), str(record["folder"]), str(record["admin"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def noted(settings: Settings, *, folder: str, admin: str) -> Iterator[None]:
    """Note who serves while the block runs, so that others find it, and a start after a kill can clear up."""
    path = settings.folder / RECORD
    path.write_text(json.dumps(asdict(Served(os.getpid(), folder, admin))), "utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def forget_served(settings: Settings) -> None:
    """Drop the note of somebody who is gone."""
    (settings.folder / RECORD).unlink(missing_ok=True)


def base_url(settings: Settings) -> str:
    """Where a client on this machine reaches the service."""
    host = "127.0.0.1" if settings.host in ANY_ADDRESS else settings.host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
