"""``tailorbird bench keys``: what it costs to let a call in: without keys, with a key among many, with one that is counted."""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from serving.bench.harness.machine import machine
from serving.http.access import FOR_RECOMMEND, Access
from tailorbird.access.changes import Wish, add_key
from tailorbird.access.keys import RECOMMEND
from tailorbird.plumbing.terminal import emit, say
from tailorbird.settings import Settings, load_settings

KEYS = 100
"""Of the workspace that is measured."""
BLOCK = 1_000
LIMITS = ("1000000/second", "1000000000/day")
HEADERS = (
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"python-httpx"),
    (b"content-type", b"application/json"),
    (b"content-length", b"64"),
)


@click.command("keys")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for keys.json.")
@click.option(
    "--blocks",
    default=50,
    show_default=True,
    type=click.IntRange(3),
    help="Of a thousand calls, timed one by one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def keys(out: Path, blocks: int, as_json: bool) -> None:
    r"""Time the judgement of a call, as the edge of a replica makes it for each; medians over blocks of a thousand.

    \b
    Examples:
        tailorbird bench keys --out build/bench
        tailorbird bench keys --out build/bench --blocks 200 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        result: dict[str, object] = timed(load_settings(home=Path(scratch), workspace="bench"), blocks=blocks)
    result |= {**machine(), "keys": KEYS, "blocks": blocks}
    (out / "keys.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    say(f"wrote {out / 'keys.json'}")
    shown = ("open_us", "key_us", "counted_key_us")
    emit(result if as_json else {name: result[name] for name in shown}, as_json=as_json)


def timed(settings: Settings, *, blocks: int) -> dict[str, object]:
    """Microseconds a call without keys, with a key, and with one of two limits."""
    now = time.time()
    figures: dict[str, object] = {"open_us": _microseconds(Access.of(settings), _scope(""), blocks=blocks)}
    tokens = [add_key(settings, Wish("bench", (RECOMMEND,)), now=now)[1] for _ in range(KEYS - 1)]
    _, counted = add_key(settings, Wish("bench", (RECOMMEND,), limits=LIMITS), now=now)
    access = Access.of(settings)
    figures["key_us"] = _microseconds(access, _scope(tokens[-1]), blocks=blocks)
    figures["counted_key_us"] = _microseconds(access, _scope(counted), blocks=blocks)
    return figures


def _scope(token: str) -> Mapping[str, Any]:
    carried = ((b"authorization", f"Bearer {token}".encode()),) if token else ()
    return {"method": "POST", "headers": [*HEADERS, *carried], "query_string": b""}


def _microseconds(access: Access, scope: Mapping[str, Any], *, blocks: int) -> float:
    """The median over blocks; each call is let in, or this raises."""
    taken = []
    for _ in range(blocks):
        started = time.perf_counter()
        for _ in range(BLOCK):
            access.admit(scope, FOR_RECOMMEND)
        taken.append((time.perf_counter() - started) / BLOCK * 1e6)
    return round(statistics.median(taken), 2)
