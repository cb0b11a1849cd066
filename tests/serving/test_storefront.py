"""The demo's shop in a real Chromium: what a visitor does moves their profile and the next slate before their eyes."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from feature_repo.portraits import Portraits
from serving.admin.catalogue.goods import Goods
from serving.admin.guard import LoopbackGuard
from serving.admin.listener import Listener, free_port
from serving.admin.models.moves import Moves
from serving.admin.models.reach import RegistryReach
from serving.admin.pages import Desk, build_admin
from serving.cluster import free_ports
from serving.notice import Notice
from serving.privacy.erasures import open_erasing
from serving.storefront.app import build_storefront
from serving.storefront.command import storefront
from serving.storefront.goods import ShopGoods
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import UsageError
from tests.sdk.conftest import chromium
from tests.sdk.site import Site
from tests.segments.carters import carters, register_segments
from tests.serving.conftest import make_world, shop
from tests.serving.world import World
from tests.serving.wrong_keys import put_keys

__all__ = ["chromium", "make_world", "shop"]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(body=1_000_000)


@pytest.fixture
def open_shop(world: World, tmp_path: Path) -> Iterator[str]:
    """The address of a shop on the toy shop's platform, admin and all."""
    site = Site(world, port=free_ports(1)[0])
    settings = world.settings
    reach = RegistryReach(settings)
    desk = Desk(
        settings,
        registry=reach,
        moves=Moves(reach, notice=Notice(tmp_path)),
        beats=list,
        goods=Goods(settings, door=world.door),
        portraits=Portraits(settings, segments=world.segments),
        segments=world.segments,
        rules=world.rules,
        erasing=open_erasing(settings),
        door=world.door,
    )
    port = free_port(0)
    listener = Listener(LoopbackGuard(build_admin(desk), max_body_bytes=10_000), port=port)
    listener.wait()
    record = {"pid": os.getpid(), "folder": str(tmp_path), "admin": f"http://127.0.0.1:{port}"}
    (settings.folder / "serving.json").write_text(json.dumps(record))
    with opened(build_storefront(settings, platform=site.address)) as address:
        yield address
    listener.close()
    site.close()


@contextmanager
def opened(app: FastAPI) -> Iterator[str]:
    """The address of an application while the block runs."""
    port = free_ports(1)[0]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page(chromium: Browser, open_shop: str) -> Iterator[Page]:
    troubles: list[str] = []
    context = chromium.new_context()
    made = context.new_page()
    made.on("pageerror", lambda error: troubles.append(str(error)))
    made.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    made.goto(open_shop)
    made.wait_for_selector("body[data-ready]")
    yield made
    context.close()
    assert troubles == []


def test_the_shop_sends_its_key_to_a_platform_that_asks_for_one(world: World) -> None:
    keys = put_keys(world.settings, world.access)
    site = Site(world, port=free_ports(1)[0])
    for key, status in ((keys.good["recommend"], 200), ("", 401)):
        settings = world.settings.model_copy(update={"api_key": key})
        with opened(build_storefront(settings, platform=site.address)) as address:
            assert httpx.get(f"{address}/v1/recommendations/u1").status_code == status
    site.close()


@pytest.mark.browser
def test_a_visitor_sees_their_profile_and_slate_move(page: Page) -> None:
    cards = page.locator("#for-you .card")
    expect(cards).not_to_have_count(0)
    expect(page.locator("#who")).to_contain_text("event")
    before = cards.evaluate_all("all => all.map(each => each.dataset.tbItem)")
    cards.first.click()
    expect(page.locator("#item")).to_be_visible()
    expect(page.locator("#knows .deed").first).to_contain_text("looked at")
    page.click("text=Put into the basket")
    expect(page.locator("#knows .deed").first).to_contain_text("into the basket")
    expect(page.locator(".windows b").first).to_have_text("4")  # the shop, a click, a view, a basket
    page.click("text=Never show it again")
    expect(page.locator("#knows")).to_contain_text("Never again")
    after = cards.evaluate_all("all => all.map(each => each.dataset.tbItem)")
    assert before[0] not in after
    events = page.locator("#who").text_content()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#who").text_content() != events  # the same visitor, one page on
    page.click("#new")
    expect(page.locator("#who")).not_to_have_text(str(events))
    expect(page.locator(".windows b").first).to_have_text("1")


@pytest.mark.browser
def test_a_visitor_sees_their_segment_and_when_they_move(page: Page, world: World, tmp_path: Path) -> None:
    expect(page.locator("#who")).to_contain_text("event")
    expect(page.locator(".segment")).to_have_count(0)  # nothing is promoted
    register_segments(world.settings, carters(), tmp_path)
    world.segments.check()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    expect(page.locator(".segment")).to_contain_text("No segment yet")
    cards = page.locator("#shelf .card")
    for place in range(2):
        cards.nth(place).click()
        expect(page.locator("#item")).to_be_visible()
        page.go_back()
    expect(page.locator(".segment strong")).to_have_text("rarely fills a cart")
    expect(page.locator(".moved")).to_have_text("we know you now: rarely fills a cart")
    cards.first.click()
    for _ in range(8):
        page.click(".deeds .main")
    expect(page.locator(".segment strong")).to_have_text("fills carts")
    expect(page.locator(".moved")).to_have_text("you moved: rarely fills a cart ▸ fills carts")
    expect(page.locator(".level")).to_contain_text("%")
    page.click("#new")
    expect(page.locator(".segment")).to_contain_text("No segment yet")
    expect(page.locator(".moved")).to_have_count(0)


@pytest.mark.browser
def test_departments_and_search_show_what_they_name(page: Page, world: World) -> None:
    departments = page.locator("#departments a")
    expect(departments).not_to_have_count(0)
    name = str(departments.first.text_content())
    departments.first.click()
    expect(page.locator("#shelf-name")).to_have_text(name)
    page.fill("#search input", "i3")
    page.press("#search input", "Enter")
    expect(page.locator("#shelf-name")).to_have_text("Found for “i3”")
    expect(page.locator("#shelf .card b")).to_have_text(["i3"])


def test_the_shop_says_when_the_platform_is_away(world: World) -> None:
    (nobody,) = free_ports(1)
    paths = ("/v1/recommendations/u1", "/api/profile?user=u1", "/secret", "/", "/api/items?ids=i1,nobody")
    with opened(build_storefront(world.settings, platform=f"http://127.0.0.1:{nobody}")) as address:
        answers = [httpx.get(f"{address}{path}", timeout=30) for path in paths]
        strangers = [
            httpx.get(f"{address}/api/items?ids=i1", headers={"host": "evil.test:80"}),
            httpx.post(f"{address}/v1/events", headers={"origin": "http://evil.test"}, content="{}"),
        ]
        own = httpx.get(f"{address}/api/departments", headers={"origin": address})
    assert [answer.status_code for answer in (*strangers, own)] == [403, 403, 200]
    assert [answer.status_code for answer in answers] == [503, 503, 404, 200, 200]
    assert list(answers[-1].json()) == ["i1"]


def test_goods_follow_the_catalogue(world: World) -> None:
    clock = [0.0]
    goods = ShopGoods(world.settings.catalog_folder, clock=lambda: clock[0])
    assert goods.details(["i1", "new"]).keys() == {"i1"}
    catalog = Catalog.read(world.settings.catalog_folder)
    import pandas as pd

    more = pd.concat(
        [catalog.items, catalog.items.head(1).assign(item_id="new", title="New")], ignore_index=True
    )
    Catalog(more).write(world.settings.catalog_folder)
    clock[0] = 2.0
    assert goods.details(["new"])["new"]["title"] == "New"
    assert [item["itemId"] for item in goods.shelf("", query="new")] == ["new"]


def test_a_taken_port_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    monkeypatch.setenv("TAILORBIRD_HOME", str(world.settings.home))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken"):
            CliRunner().invoke(
                storefront, ["--workspace", "toy", "--port", str(port)], catch_exceptions=False
            )
    with pytest.raises(UsageError, match="has no catalogue"):
        CliRunner().invoke(storefront, ["--workspace", "none"], catch_exceptions=False)
