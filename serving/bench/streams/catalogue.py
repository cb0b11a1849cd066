"""``tailorbird bench catalogue``: patches a second while answering at a share of full load, and how soon answers know of one."""

import asyncio
import itertools
import json
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import click
import numpy as np
import orjson

from serving.bench.harness.callers import Ask, Callers, Line
from serving.bench.harness.machine import machine
from serving.bench.harness.paced import Paced, send_by_the_clock
from serving.bench.harness.world import shown_world
from serving.cluster import free_ports
from serving.command import addresses, running
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.served import base_url
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.settings import Settings, load_settings
from tailorbird.slate.filtering.columns import ItemColumns
from tailorbird.slate.filtering.selection import Selections

ANSWERS = 20
FULL_CALLERS = 32
PUTS_A_SECOND = 10.0
WARM_SECONDS = 3.0
CANDIDATES = 300
FILTER = 'price < 50 and price >= 2 and stock >= 1 and not brand = "x" and not category in ["x", "y"]'
GONE_SECONDS = 10.0


@click.command("catalogue")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for catalogue.json.")
@click.option(
    "--items", default=10_000, show_default=True, type=click.IntRange(200), help="Items of the catalogue."
)
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(100), help="People who ask.")
@click.option(
    "--share", default=0.7, show_default=True, type=click.FloatRange(0.05, 1.0), help="Of full load."
)
@click.option(
    "--patches",
    multiple=True,
    default=(0, 100, 1_000),
    show_default=True,
    type=click.IntRange(0),
    help="Patches a second; repeatable.",
)
@click.option(
    "--seconds", default=15.0, show_default=True, type=click.FloatRange(1.0), help="Length of one run."
)
@click.option(
    "--deletions",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Times an item is deleted and looked for.",
)
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic world.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def catalogue(
    out: Path,
    items: int,
    users: int,
    share: float,
    patches: tuple[int, ...],
    seconds: float,
    deletions: int,
    seed: int,
    as_json: bool,
) -> None:
    r"""Answer at a share of full load while prices and stocks change, without a result cache.

    Requests are sent by the clock, and what waits for its turn counts. Then items are deleted under the same load, one after
    the other: how long the answers go on showing each.

    \b
    Examples:
        tailorbird bench catalogue --out build/bench
        tailorbird bench catalogue --out build/bench --items 100000 --patches 1000 --json
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tailorbird-bench-") as scratch:
        home = Path(scratch)
        settings = load_settings(
            home=home / "home", mlruns=home / "mlruns", workspace="bench", port=free_ports(1)[0]
        )
        people = shown_world(settings, items=items, users=users, seed=seed)
        filters = filter_figures(settings)
        with running(settings, result_cache_seconds=0.0):
            bodies = [orjson.dumps({"userId": person, "numResults": ANSWERS}) for person in people]
            with progress("Full load"):
                _full_load(settings, bodies, seconds=WARM_SECONDS)
                full = _full_load(settings, bodies, seconds=seconds)
            runs = []
            for rate in patches:
                with progress(f"{rate} patches a second"):
                    runs.append(
                        _run(settings, bodies, items=items, rate=share * full, patches=rate, seconds=seconds)
                    )
            with progress("Deleting"):
                gone = _deleted(settings, bodies, rate=share * full, times=deletions)
    result = {
        "full_rps": round(full, 1),
        "share": share,
        "runs": runs,
        "gone_after_s_median": round(float(np.median(gone)), 2),
        "gone_after_s_most": round(max(gone), 2),
        **filters,
        "items": items,
        "users": users,
        "seconds": seconds,
        **machine(),
    }
    (out / "catalogue.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    table(runs, title=f"Answers at {share:.0%} of {full:,.0f} a second, while the catalogue changes")
    say(f"wrote {out / 'catalogue.json'}")
    emit(
        result if as_json else {key: result[key] for key in ("gone_after_s_median", "gone_after_s_most")},
        as_json=as_json,
    )


def filter_figures(settings: Settings) -> dict[str, object]:
    """What an expression of five comparisons costs over this catalogue: prepared, asked of candidates, of all, of all again."""
    catalog, rng = Catalog.read(settings.catalog_folder), np.random.default_rng(7)
    started = time.perf_counter()
    columns = ItemColumns.of(catalog)
    built = time.perf_counter() - started
    selection = Selections(columns).of(FILTER)
    rows, now = rng.integers(0, len(catalog), CANDIDATES), time.time()
    started = time.perf_counter()
    fulfilled = int(selection.bitmap(now=now).sum())
    first = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(1_000):
        selection.keeps(rows, now=now)
    asked = (time.perf_counter() - started) / 1_000
    columns.change([(int(row), {"price": 1.0}) for row in rows])
    started = time.perf_counter()
    selection.bitmap(now=now)
    again = time.perf_counter() - started
    return {
        "columns_s": round(built, 2),
        "filter_candidates_us": round(asked * 1e6, 1),
        "filter_all_ms": round(first * 1e3, 2),
        "filter_all_after_changes_ms": round(again * 1e3, 2),
        "fulfilled": fulfilled,
    }


def _full_load(settings: Settings, bodies: list[bytes], *, seconds: float) -> float:
    """Answers a second where callers ask as fast as they are answered."""
    numbers = itertools.count()
    started = time.monotonic()
    with Callers(
        base_url(settings),
        count=FULL_CALLERS,
        ask=lambda _: Ask("/v1/recommendations", bodies[next(numbers) % len(bodies)]),
    ) as pressed:
        time.sleep(seconds)
    return sum(call.good for call in pressed.calls) / (time.monotonic() - started)


def _run(
    settings: Settings, bodies: list[bytes], *, items: int, rate: float, patches: int, seconds: float
) -> dict[str, object]:
    """One paced run with so many patches a second beside it."""
    rng = np.random.default_rng(patches)
    size = round(patches / PUTS_A_SECOND)

    def told() -> bytes:
        rows, prices = rng.integers(0, items, size), rng.uniform(1, 90, size)
        batch = [
            {"itemId": f"item-{row}", "price": round(price, 2), "stock": row % 50 + 1}
            for row, price in zip(rows.tolist(), prices.tolist(), strict=True)
        ]
        return orjson.dumps({"items": batch})

    async def both() -> tuple[Paced, Paced | None]:
        asked = send_by_the_clock(
            base_url(settings),
            lambda n: Ask("/v1/recommendations", bodies[n % len(bodies)]),
            rate=rate,
            seconds=seconds,
        )
        if not size:
            return await asked, None
        put = send_by_the_clock(
            str(addresses(settings)["admin"]),
            lambda n: Ask("/v1/items", told(), method="PUT"),
            rate=PUTS_A_SECOND,
            seconds=seconds,
        )
        return await asyncio.gather(asked, put)

    answers, puts = asyncio.run(both())
    return {
        "patches_per_second": round(len(puts.waits_ms) * size / seconds, 1) if puts else 0.0,
        "answers_per_second": round(len(answers.waits_ms) / seconds, 1),
        "p50_ms": answers.percentile(50),
        "p95_ms": answers.percentile(95),
        "p99_ms": answers.percentile(99),
        "failed": answers.failed,
        "put_p99_ms": puts.percentile(99) if puts else 0.0,
        "put_failed": puts.failed if puts else 0,
        "put_statuses": dict(puts.statuses) if puts else {},
    }


def _deleted(settings: Settings, bodies: list[bytes], *, rate: float, times: int) -> list[float]:
    """For ``times`` items: seconds from a deletion's answer to the last answer that shows it, of many in a row."""
    where, admin = urlsplit(base_url(settings)), urlsplit(str(addresses(settings)["admin"]))

    async def look() -> list[float]:
        line, desk = (
            Line(str(where.hostname), int(where.port or 80)),
            Line(str(admin.hostname), int(admin.port or 80)),
        )
        found = []
        for number in range(times):
            ask = bodies[number]
            _, before = await line.send("/v1/recommendations", ask)
            item = orjson.loads(before)["items"][0]["itemId"]
            status, said = await desk.send(f"/v1/items/{item}", method="DELETE")
            if status != HTTPStatus.OK:
                raise TailorbirdError(
                    f"deleting {item} was answered {status}: {said[:500]!r}", remedy="see the log of admin"
                )
            told = last = time.perf_counter()
            while time.perf_counter() - last < 2.0 and time.perf_counter() - told < GONE_SECONDS:
                asked = time.perf_counter()
                _, after = await line.send("/v1/recommendations", ask)
                if item in [each["itemId"] for each in orjson.loads(after)["items"]]:
                    last = asked
                await asyncio.sleep(0.02)
            found.append(last - told)
        line.close()
        desk.close()
        return found

    async def under_load() -> list[float]:
        asked = asyncio.create_task(
            send_by_the_clock(
                base_url(settings),
                lambda n: Ask("/v1/recommendations", bodies[n % len(bodies)]),
                rate=rate,
                seconds=times * 3.0,
            )
        )
        found = await look()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        return found

    return asyncio.run(under_load())
