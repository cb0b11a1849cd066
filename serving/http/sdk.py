"""Serves the browser SDK: ``/sdk.js`` leads to ``/sdk/<content hash>.js``, which never changes."""

import gzip
import hashlib
from http import HTTPStatus
from pathlib import Path

from serving.http.access import OPEN
from serving.http.front import Answer, Request, Route

FILE = Path(__file__).with_name("sdk.js")
"""Built from ``sdk/js`` and committed."""
MEDIA_TYPE = b"text/javascript; charset=utf-8"
LEADS_SECONDS = 300
"""How long a browser may take yesterday's script for today's."""
_OPEN = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
"""The script is public, and pages elsewhere may check its hash (``integrity``), which needs both."""


def content_hash(content: bytes) -> str:
    """What the script is called by: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def sdk_routes(file: Path = FILE) -> list[Route]:
    """The routes of the script, which is read once, here."""
    content = file.read_bytes()
    packed = gzip.compress(content, 9, mtime=0)
    name = content_hash(content)

    async def lead(request: Request) -> Answer:
        """GET /sdk.js."""
        return Answer(
            b"",
            HTTPStatus.FOUND,
            {"location": f"sdk/{name}.js", "cache-control": f"public, max-age={LEADS_SECONDS}", **_OPEN},
            MEDIA_TYPE,
        )

    async def script(request: Request) -> Answer:
        """GET /sdk/<hash>.js: another hash is of a version before or after, and leads to ours."""
        if request.argument != name:
            return Answer(
                b"",
                HTTPStatus.FOUND,
                {"location": f"{name}.js", "cache-control": "no-store", **_OPEN},
                MEDIA_TYPE,
            )
        kept = {
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
            **_OPEN,
        }
        if b"gzip" in request.header(b"accept-encoding"):
            return Answer(packed, HTTPStatus.OK, {**kept, "content-encoding": "gzip"}, MEDIA_TYPE)
        return Answer(content, HTTPStatus.OK, kept, MEDIA_TYPE)

    return [
        Route("sdk", "GET", "/sdk.js", lead, needs=OPEN),
        Route("sdk", "GET", "/sdk/", script, suffix=".js", needs=OPEN),
    ]
