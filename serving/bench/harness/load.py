"""A load generator: wrk where it is installed, else a small one of our own; both give the same figures."""

import asyncio
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from tailorbird.errors import TailorbirdError

LUA = """
local requests, at = {}, 0
for line in io.lines("FILE") do
  requests[#requests + 1] = BODIES and wrk.format("POST", nil, {["content-type"] = "application/json"}, line)
    or wrk.format("GET")
end
request = function() at = at % #requests + 1; return requests[at] end
done = function(summary, latency, _)
  local e = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p95": %f, "p99": %f}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run measured; latencies in milliseconds."""

    rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def tool() -> str:
    """The generator that :func:`press` uses here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def press(url: str, *, bodies: Sequence[str], connections: int, seconds: float, folder: Path) -> Load:
    """Call ``url`` over ``connections`` at once; with ``bodies`` it posts them in turn, without it gets.

    Raises:
        TailorbirdError: the generator does not run.
    """
    if tool() == "wrk":
        return _wrk(url, bodies=bodies, connections=connections, seconds=seconds, folder=folder)
    return asyncio.run(_press(url, bodies=bodies, connections=connections, seconds=seconds))


def _wrk(url: str, *, bodies: Sequence[str], connections: int, seconds: float, folder: Path) -> Load:
    lines, script = folder / "bodies.txt", folder / "load.lua"
    lines.write_text("\n".join(bodies or ["-"]) + "\n", "utf-8")
    text = LUA.replace("FILE", str(lines)).replace("BODIES", "true" if bodies else "false")
    script.write_text(text, "utf-8")
    ran = subprocess.run(  # noqa: S603
        [
            shutil.which("wrk") or "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            str(script),
            url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    _, found, result = ran.stdout.partition("RESULT ")
    if not found:
        raise TailorbirdError(f"wrk said: {ran.stdout}{ran.stderr}", remedy="check that the address answers")
    raw = json.loads(result)
    return Load(
        rps=raw["requests"] / raw["seconds"],
        p50_ms=raw["p50"],
        p95_ms=raw["p95"],
        p99_ms=raw["p99"],
        errors=int(raw["errors"]),
    )


async def _press(url: str, *, bodies: Sequence[str], connections: int, seconds: float) -> Load:
    where = urlsplit(url)
    if bodies:
        raw = [
            f"POST {where.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body.encode())}\r\n\r\n{body}".encode()
            for body in bodies
        ]
    else:
        raw = [f"GET {where.path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()]
    requests, started = itertools.cycle(raw), time.perf_counter()
    until = started + seconds
    latencies: list[float] = []
    errors = 0

    async def caller() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while time.perf_counter() < until:
            sent = time.perf_counter()
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            errors += not head.startswith(b"HTTP/1.1 200")
            latencies.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*[caller() for _ in range(connections)])
    took = time.perf_counter() - started
    p50, p95, p99 = (np.percentile(latencies, [50, 95, 99]) * 1000).tolist()
    return Load(rps=len(latencies) / took, p50_ms=p50, p95_ms=p95, p99_ms=p99, errors=errors)
