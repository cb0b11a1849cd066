"""A page that carries a public key is let in, also as it ends; one without is told, and goes on trying."""

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from serving.cluster import free_ports
from tailorbird.access.changes import Wish, add_key
from tests.sdk.site import TILES, Site
from tests.serving.world import World
from tests.serving.wrong_keys import look

pytestmark = pytest.mark.browser


@pytest.fixture
def shop_site(make_world: Callable[..., World]) -> Iterator[Site]:
    made = Site(make_world(body=1_000_000), port=free_ports(1)[0])
    yield made
    made.close()


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def public_key(site: Site) -> str:
    """For the pages of the shop's own name; from now on every door asks for a key."""
    wish = Wish("pages", ("collect", "recommend"), origins=(site.elsewhere,))
    _, token = add_key(site.world.settings, wish, now=time.time())
    look(site.world.access)
    return token


def test_a_page_tells_and_asks_with_its_key_and_a_beacon_carries_it_too(
    shop_site: Site, visitor: Page
) -> None:
    token = public_key(shop_site)
    script = f'<script src="/sdk.js" data-consent="granted" data-key="{token}"></script>'
    shop_site.pages["/"] = f"{script}<main>{TILES}</main>"
    visitor.goto(shop_site.elsewhere)
    shop_site.wait_for(1, "page")
    assert len(visitor.evaluate("tailorbird.recommend({numResults: 2}).then((answer) => answer.items)")) == 2
    visitor.click("text=i1")  # leads to the next page before its parcel is sent
    shop_site.wait_for(1, "click")


def test_without_a_key_nothing_is_stored_and_nothing_lost(shop_site: Site, visitor: Page) -> None:
    token = public_key(shop_site)
    bare = '<script src="/sdk.js" data-consent="granted"></script>'
    shop_site.pages["/"] = bare
    visitor.goto(shop_site.elsewhere)
    visitor.evaluate("tailorbird.flush()")
    assert visitor.evaluate("tailorbird.recommend()") is None
    assert len(shop_site.sent_ids()) >= 1
    assert shop_site.events() == []
    shop_site.pages["/"] = bare.replace("></", f' data-key="{token}"></')
    visitor.evaluate(
        "Object.keys(localStorage).filter((key) => key.endsWith('wait')).forEach((key) => localStorage.removeItem(key))"
    )
    visitor.goto(shop_site.elsewhere)
    shop_site.wait_for(2, "page")
