"""Applications of a single page: each new address is a page view, once; in a real Chromium."""

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.sdk.site import BARE, Site

pytestmark = pytest.mark.browser
WAIT = "await new Promise((done) => setTimeout(done, 200));"


def told(site: Site, page: Page) -> list[tuple[str, str | None, str]]:
    page.evaluate("tailorbird.flush()")
    site.wait_for(1)
    page.wait_for_timeout(300)
    kinds = ("page", "view")
    return [(e.type, e.item_id, e.properties["path"]) for e in site.events() if e.type in kinds]


def test_each_new_address_is_a_page_view(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.goto(site.address)
    page.evaluate(
        f"""async () => {{
            history.pushState({{n: 1}}, "", "/a"); {WAIT}
            history.pushState(null, "", "/b?q=secret"); {WAIT}
            history.replaceState(null, "", "/c"); {WAIT}
            history.replaceState({{n: 2}}, "", "/c"); {WAIT}
            location.hash = "part"; {WAIT}
            history.back(); {WAIT}
            history.back(); {WAIT}
        }}"""
    )
    assert [path for _, _, path in told(site, page)] == ["/", "/a", "/b", "/c", "/a"]
    assert page.evaluate("history.state") == {"n": 1}


def test_a_page_that_tells_it_itself_is_told_once(site: Site, page: Page) -> None:
    site.pages["/"] = '<script src="/sdk.js" data-consent="granted" data-item="i0"></script>'
    page.goto(site.address)
    page.evaluate(
        f"""async () => {{
            history.pushState(null, "", "/item/i1"); tailorbird.page("i1"); {WAIT}
            history.pushState(null, "", "/basket"); {WAIT}
            history.go(-2); {WAIT}
        }}"""
    )
    assert told(site, page) == [
        ("view", "i0", "/"),
        ("view", "i1", "/item/i1"),
        ("page", None, "/basket"),
        ("view", "i0", "/"),
    ]


def test_one_that_is_left_at_once_counts(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.goto(site.address)
    page.evaluate("history.pushState(null, '', '/brief'); location.href = '/?next'")
    page.wait_for_url("**/?next")
    assert [path for _, _, path in told(site, page)] == ["/", "/brief", "/"]


def test_addresses_on_the_way_to_another_do_not_count(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.goto(site.address)
    page.evaluate("for (const q of ['b', 'bl', 'blue']) history.replaceState(null, '', '/search?q=' + q)")
    page.wait_for_timeout(200)
    assert [path for _, _, path in told(site, page)] == ["/", "/search"]


def test_nothing_is_told_before_consent_or_where_the_page_tells_all_itself(
    site: Site, device: BrowserContext
) -> None:
    site.pages["/"] = '<script src="/sdk.js" data-item="i0"></script>'
    site.pages["/own"] = '<script src="/sdk.js" data-consent="granted" data-auto="off"></script>'
    page = device.new_page()
    page.goto(site.address)
    moves = f"""async () => {{ history.pushState(null, "", "/before"); {WAIT} }}"""
    page.evaluate(moves)
    page.evaluate("tailorbird.consent(true)")
    assert told(site, page) == [("page", None, "/before")]
    page.goto(f"{site.address}/own")
    page.evaluate(moves)
    assert len(told(site, page)) == 1
