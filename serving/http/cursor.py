"""The cursor of the next page: the ids already shown, packed. The server keeps nothing between pages."""

import base64
import binascii
import zlib
from collections.abc import Sequence
from http import HTTPStatus

import orjson

from serving.http.problems import ProblemError, shown

MAX_IDS = 10_000
MAX_BYTES = 400_000
"""Of the unpacked ids; a cursor that would exceed either bound is not written: there is no further page."""


def write_cursor(item_ids: Sequence[str]) -> str | None:
    """Pack the ids of all pages so far; None where they are more than a cursor holds."""
    text = orjson.dumps(list(item_ids))
    if len(item_ids) > MAX_IDS or len(text) > MAX_BYTES:
        return None
    return base64.urlsafe_b64encode(zlib.compress(text)).decode()


def read_cursor(cursor: str | None) -> tuple[str, ...]:
    """Unpack a cursor; raises a 404 problem where it is not one of ours."""
    if not cursor:
        return ()
    try:
        # A bound on the output: a small cursor must not unfold into gigabytes.
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.urlsafe_b64decode(cursor.encode("ascii")), MAX_BYTES + 1)
        ids = orjson.loads(text)
    except (binascii.Error, zlib.error, orjson.JSONDecodeError, ValueError):
        raise _invalid(cursor) from None
    if (
        not isinstance(ids, list)
        or len(ids) > MAX_IDS
        or not all(isinstance(item_id, str) for item_id in ids)
    ):
        raise _invalid(cursor)
    return tuple(ids)


def _invalid(cursor: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "invalid-cursor",
        f"no such cursor: {shown(cursor)}",
        remedy="send the cursor of the answer before, unchanged, or none for the first page",
    )
