"""The benchmark of the catalogue: what is sent by the clock is all sent, and its waits count from when it was due."""

import asyncio
import threading

import numpy as np
import pandas as pd
import uvicorn

from serving.bench.harness.callers import Ask
from serving.bench.harness.paced import send_by_the_clock
from serving.bench.harness.world import _catalog
from serving.bench.streams.catalogue import FILTER, filter_figures
from serving.cluster import free_ports
from tailorbird.catalog.catalog import Catalog
from tailorbird.settings import load_settings
from tailorbird.slate.filtering.columns import ItemColumns
from tailorbird.slate.filtering.selection import Selections


async def _slow(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def test_every_request_is_sent_and_waits_count_from_when_it_was_due() -> None:
    port = free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(_slow, port=port, log_level="error", lifespan="off"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        pass
    paced = asyncio.run(
        send_by_the_clock(f"http://127.0.0.1:{port}", lambda n: Ask("/", b"{}"), rate=100, seconds=0.5)
    )
    server.should_exit = True
    running.join(10)
    assert (len(paced.waits_ms), paced.statuses, paced.failed) == (50, {200: 50}, 0)
    assert paced.percentile(50) >= 50


def test_what_is_measured_passes_some_items_of_the_world() -> None:
    bitmap = Selections(ItemColumns.of(_catalog(1_000, np.random.default_rng(7)))).of(FILTER).bitmap(now=0.0)
    assert 100 < bitmap.sum() < 1_000


def test_filters_are_measured_over_the_catalogue_itself(tmp_path) -> None:
    settings = load_settings(home=tmp_path, workspace="toy")
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "price": [5.0, 90.0, 5.0], "stock": [1.0, 1.0, 0.0]})
    Catalog.from_frame(items).write(settings.catalog_folder)
    assert filter_figures(settings)["fulfilled"] == 1
