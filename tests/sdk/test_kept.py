"""What goes wrong on the way loses no event and doubles none, and the page never feels it; in a real Chromium."""

import re
import time

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.sdk.site import EVENTS, HOME, Fault, Site

pytestmark = pytest.mark.browser
QUIET = '<script src="/sdk.js" data-consent="granted" data-auto="off"></script>'
WAITING = "Object.keys(localStorage).filter(key => key.startsWith('tailorbird.q.')).length"
"""How many parcels wait: what happened is kept within a tenth of a second, and by `flush` at once."""


@pytest.fixture
def quiet(site: Site) -> Site:
    """A site whose pages tell only what a test has them tell."""
    site.pages["/"] = QUIET
    return site


def view(page: Page, *items: str) -> None:
    for item in items:
        page.evaluate(f"tailorbird.view('{item}')")


def items(site: Site) -> list[str | None]:
    return [event.item_id for event in site.events()]


def test_a_tab_that_is_closed_in_the_middle_has_told_all(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.click("text=+ >> nth=2")
    page.click("text=+ >> nth=1")
    page.close()
    assert [event.item_id for event in site.wait_for(2, "add_to_cart")] == ["i2", "i1"]
    assert len([event for event in site.events() if event.type == "page"]) == 1


def test_what_was_handed_over_and_not_acknowledged_counts_once(quiet: Site, device: BrowserContext) -> None:
    for item in ("i0", "i1", "i2"):
        page = device.new_page()
        page.goto(quiet.address)
        view(page, item)
        page.close()
    page = device.new_page()
    page.goto(quiet.address)
    page.wait_for_function(f"{WAITING} == 0")
    assert items(quiet) == ["i0", "i1", "i2"]


def test_a_network_that_is_cut_is_made_up_for_by_the_next_visit(quiet: Site, device: BrowserContext) -> None:
    page = device.new_page()
    page.goto(quiet.address)
    device.set_offline(True)
    view(page, "i0", "i1")
    page.evaluate("tailorbird.flush()")
    view(page, "i2")
    page.close()
    device.set_offline(False)
    assert items(quiet) == []
    later = device.new_page()
    later.goto(quiet.address)
    view(later, "i3")
    quiet.wait_for(4)
    assert items(quiet) == ["i0", "i1", "i2", "i3"]


def test_a_network_that_comes_back_is_noticed_at_once(
    quiet: Site, page: Page, device: BrowserContext
) -> None:
    page.goto(quiet.address)
    device.set_offline(True)
    view(page, "i0", "i1")
    for _ in range(8):
        page.evaluate("tailorbird.flush()")  # of itself it would wait minutes by now
    device.set_offline(False)
    quiet.wait_for(2)
    assert items(quiet) == ["i0", "i1"]


@pytest.mark.parametrize("status", [429, 500])
def test_a_server_that_refuses_is_asked_again(quiet: Site, page: Page, status: int) -> None:
    quiet.faults.append(Fault(status))
    page.goto(quiet.address)
    view(page, "i0")
    page.evaluate("tailorbird.flush()")
    view(page, "i1")
    quiet.wait_for(2)
    assert items(quiet) == ["i0", "i1"]
    assert not quiet.faults


def test_retry_after_is_obeyed_by_this_page_by_others_and_by_the_next(
    quiet: Site, device: BrowserContext
) -> None:
    quiet.faults.append(Fault(503, {"retry-after": "4"}))
    page, other = device.new_page(), device.new_page()
    page.goto(quiet.address)
    other.goto(quiet.address)
    view(page, "i0")
    page.evaluate("tailorbird.flush()")
    view(page, "i1")
    page.close()
    view(other, "i2")
    other.evaluate("tailorbird.flush()")
    device.new_page().goto(quiet.address)
    quiet.wait_for(3)
    first = min(event.received_time for event in quiet.events())
    assert first - quiet.refused[0] >= 4
    assert items(quiet) == ["i0", "i1", "i2"]


def test_an_answer_that_never_came_doubles_nothing(quiet: Site, page: Page) -> None:
    quiet.faults.append(Fault(0, times=2))
    page.goto(quiet.address)
    view(page, "i0", "i1")
    page.evaluate("tailorbird.flush()")
    page.wait_for_function(f"{WAITING} == 0")
    assert items(quiet) == ["i0", "i1"]
    assert len(quiet.sent_ids()) > 2


def test_two_tabs_share_one_queue(quiet: Site, device: BrowserContext) -> None:
    one, two = device.new_page(), device.new_page()
    one.goto(quiet.address)
    two.goto(quiet.address)
    device.set_offline(True)
    for n in range(30):
        view((one, two)[n % 2], f"i{n}")
    device.set_offline(False)
    quiet.wait_for(30)
    one.wait_for_function(f"{WAITING} == 0")
    found = items(quiet)
    assert sorted(found) == sorted(f"i{n}" for n in range(30))
    for tab in (0, 1):  # clocks of two tabs may show the same millisecond
        assert [item for item in found if item and int(item[1:]) % 2 == tab] == [
            f"i{n}" for n in range(tab, 30, 2)
        ]
    assert len({event.anonymous_id for event in quiet.events()}) == 1
    assert len(quiet.sent_ids()) == 30


def test_two_tabs_without_locks_tell_once(open_site: Site, device: BrowserContext) -> None:
    open_site.pages["/"] = QUIET
    one, two = device.new_page(), device.new_page()
    for page in (one, two):
        page.goto(open_site.elsewhere)
        assert page.evaluate("isSecureContext || 'locks' in navigator") is False
    for n in range(20):
        view((one, two)[n % 2], f"i{n}")
    open_site.wait_for(20)
    one.wait_for_function(f"{WAITING} == 0")
    assert items(open_site) == [f"i{n}" for n in range(20)]


def test_a_page_that_comes_back_from_the_cache_goes_on(site: Site, page: Page) -> None:
    site.pages["/other"] = "<p>elsewhere</p>"
    page.goto(site.address)
    page.evaluate("window.kept = 'kept'; addEventListener('pageshow', e => window.persisted = e.persisted)")
    page.click("text=+ >> nth=0")
    page.evaluate("location.href = '/other'")
    page.wait_for_url("**/other")
    page.evaluate("history.back()")
    page.wait_for_function("window.persisted === true && window.kept === 'kept'")
    page.evaluate("tailorbird.view('i2'); tailorbird.flush()")
    page.wait_for_function(f"{WAITING} == 0")
    told = [event for event in site.events() if event.type != "impression"]
    assert [event.type for event in told] == ["page", "add_to_cart", "page", "view"]


def test_a_full_storage_loses_nothing(quiet: Site, page: Page) -> None:
    page.goto(quiet.address)
    page.evaluate(
        """() => { let size = 2 ** 22;
            while (size >= 1) try { localStorage.setItem('x' + size + Math.random(), 'x'.repeat(size)) } catch { size >>= 1 } }"""
    )
    view(page, "i0", "i1")
    assert page.evaluate(WAITING) == 0
    quiet.wait_for(2)
    view(page, "i2")
    page.close()
    quiet.wait_for(3)
    assert items(quiet) == ["i0", "i1", "i2"]


def test_a_blocked_storage_loses_nothing(quiet: Site, device: BrowserContext) -> None:
    device.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
    )
    page = device.new_page()
    page.goto(quiet.address)
    view(page, "i0")
    quiet.wait_for(1)
    view(page, "i1")
    page.close()
    quiet.wait_for(2)
    assert items(quiet) == ["i0", "i1"]


def test_what_waits_is_bounded_and_the_newest_is_kept(
    quiet: Site, page: Page, device: BrowserContext
) -> None:
    page.goto(quiet.address)
    device.set_offline(True)
    page.evaluate("for (let n = 0; n < 4000; n++) tailorbird.view('i' + n); tailorbird.flush()")
    size, newest = page.evaluate(
        """() => { const keys = Object.keys(localStorage).filter(key => key.startsWith('tailorbird.q.')).sort();
            return [keys.reduce((sum, key) => sum + localStorage[key].length, 0),
                    JSON.parse(`[${localStorage[keys.at(-1)]}]`).at(-1).itemId] }"""
    )
    assert 400_000 < size <= 500_000
    assert newest == "i3999"


def test_an_entry_that_is_broken_costs_the_others_nothing(quiet: Site, page: Page) -> None:
    page.goto(quiet.address)
    page.evaluate("localStorage['tailorbird.q.2026-01'] = '{'; localStorage['tailorbird.q.x'] = '!'")
    for n in range(5):
        view(page, f"i{n}")
    page.evaluate("tailorbird.track('NO TYPE'); tailorbird.view('i5'); tailorbird.flush()")
    page.wait_for_function(f"{WAITING} == 0")
    assert items(quiet) == [f"i{n}" for n in range(6)]


def test_a_page_that_breaks_what_the_sdk_stands_on_gets_no_error(quiet: Site, page: Page) -> None:
    page.goto(quiet.address)
    page.evaluate(
        """() => {
            const no = () => { throw new Error("broken by the page") };
            window.fetch = navigator.sendBeacon = Storage.prototype.setItem = no;
            const cyclic = {}; cyclic.self = cyclic;
            tailorbird.track("odd", {properties: cyclic});
            tailorbird.view("i0");
            tailorbird.slot(document.body, {template: no});
            tailorbird.slot(null); tailorbird.scan(null); tailorbird.purchase(null);
            dispatchEvent(new PageTransitionEvent("pagehide"));
            return Promise.all([tailorbird.flush(), tailorbird.recommend()]);
        }"""
    )


def test_a_blocked_endpoint_is_felt_by_nobody(site: Site, page: Page) -> None:
    page.route(re.compile(".*/v1/.*"), lambda route: route.abort())
    site.pages["/"] = (
        HOME + '<div data-tb-slot="home"><p>as it was</p><template><b>{{itemId}}</b></template></div>'
    )
    page.goto(site.address)
    page.click("text=+ >> nth=0")
    page.evaluate("tailorbird.flush()")
    assert page.evaluate("tailorbird.recommend()") is None
    assert page.locator("[data-tb-slot] p").inner_text() == "as it was"
    assert page.evaluate(WAITING) >= 1
    assert site.asked == []


def test_pages_of_a_listed_origin_may_tell_and_ask(open_site: Site, device: BrowserContext) -> None:
    script = f'<script src="{open_site.address}/sdk.js" data-consent="granted" data-auto="off"></script>'
    open_site.pages["/"] = script
    open_site.faults.append(Fault(503, {"retry-after": "2"}))
    page = device.new_page()
    page.goto(open_site.elsewhere)
    view(page, "i0")
    page.evaluate("tailorbird.flush()")
    open_site.wait_for(1)
    assert page.evaluate("tailorbird.recommend({numResults: 1}).then(answer => answer.items.length)") == 1
    view(page, "i1")
    page.close()
    open_site.wait_for(2)
    assert items(open_site) == ["i0", "i1"]
    assert device.cookies() == []


def test_pages_of_another_origin_may_not_and_feel_nothing(site: Site, page: Page) -> None:
    site.pages["/"] = f'<script src="{site.address}/sdk.js" data-consent="granted"></script>'
    page.goto(site.elsewhere)
    page.evaluate("tailorbird.flush()")
    assert page.evaluate("tailorbird.recommend()") is None
    page.close()
    time.sleep(0.5)
    assert site.events() == []
    assert EVENTS in [path for path, _ in site.asked]
