"""What a person does on a page arrives, once, in order, with the right ids; in a real Chromium."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.sdk.site import BARE, HOME, TILES, Site

pytestmark = pytest.mark.browser


def kinds(events) -> list[str]:
    return [event.type for event in events]


def test_three_lines_tell_of_a_visit(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/?q=secret")
    page.click("text=i1")
    (clicked,) = site.wait_for(1, "click")
    (seen,) = (event for event in site.events() if event.type == "page" and event.properties["path"] == "/")
    assert seen.event_time < clicked.event_time
    assert (clicked.item_id, clicked.recommendation_id, clicked.position) == ("i1", "r1", 1)
    assert re.fullmatch("[0-9a-f-]{36}", clicked.anonymous_id or "")
    assert clicked.context == {"device": "desktop", "referrer": "direct", "consent": True}
    assert {event.session_id for event in site.events()} == {seen.session_id}
    assert {event.anonymous_id for event in site.events()} == {seen.anonymous_id}


def test_every_kind_that_a_page_tells_arrives_in_its_order(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.goto(site.address)
    page.evaluate(
        """() => {
            tailorbird.view("i1");
            tailorbird.search("blue shoes", {results: 3});
            tailorbird.addToCart("i1", {value: 12.5});
            tailorbird.track("size_chosen", {itemId: "i1", properties: {size: 42}});
            tailorbird.track("rating", {itemId: "i1", value: 4});
            tailorbird.purchase([{itemId: "i1", value: 12.5}, {itemId: "i2", value: 3}], {orderId: "o-1"});
        }"""
    )
    found = site.wait_for(8)
    wanted = ["page", "view", "search", "add_to_cart", "size_chosen", "rating", "purchase", "purchase"]
    assert kinds(found) == wanted
    assert found[2].properties == {"query": "blue shoes", "results": 3}
    assert [event.value for event in found[-2:]] == [12.5, 3.0]
    assert [event.message_id for event in found[-2:]] == ["order:o-1:i1", "order:o-1:i2"]


def test_an_order_whose_page_is_loaded_again_counts_once(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    for _ in range(3):
        page.goto(site.address)
        page.evaluate("tailorbird.purchase('i1', {value: 5, orderId: 'o-7'}); tailorbird.flush()")
    found = site.wait_for(4)
    page.evaluate("tailorbird.flush()")
    assert kinds(site.events()).count("purchase") == 1
    assert kinds(found).count("page") == 3


def test_an_item_half_visible_for_a_second_is_an_impression_once(site: Site, page: Page) -> None:
    site.pages["/"] = (
        HOME + '<div style="height:5000px"></div><div id="far">' + TILES.replace("i2", "i9") + "</div>"
    )
    page.goto(site.address)
    shown = site.wait_for(3, "impression")
    assert [(event.item_id, event.position) for event in shown] == [("i0", 0), ("i1", 1), ("i2", 2)]
    page.evaluate("scrollTo(0, 9999); setTimeout(() => scrollTo(0, 0), 400)")  # too short to count
    page.wait_for_timeout(2500)
    page.evaluate("scrollTo(0, 9999)")
    page.locator("#far .tile").last.scroll_into_view_if_needed()
    shown = [event.item_id for event in site.wait_for(6, "impression")]
    page.evaluate("tailorbird.flush()")
    assert len(site.wait_for(6, "impression")) == 6
    assert shown == ["i0", "i1", "i2", "i0", "i1", "i9"]


def test_scroll_depth_is_told_once(site: Site, page: Page) -> None:
    site.pages["/"] = HOME.replace("<main>", "<main hidden>") + '<div style="height:10000px"></div>'
    page.goto(site.address)
    for place in (3000, 0, 6000, 99999, 0):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(350)
    page.evaluate("tailorbird.flush()")
    depths = [event.properties["depth"] for event in site.wait_for(3, "scroll")]
    assert depths == [25, 50, 100]


def test_dwelling_with_the_mouse_is_a_hover(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.hover("text=i0")
    page.wait_for_timeout(1300)
    page.hover("text=i1")
    page.wait_for_timeout(100)
    page.hover("text=i2")
    page.wait_for_timeout(100)
    (hover,) = site.wait_for(1, "hover")
    assert (hover.item_id, hover.position) == ("i0", 0)
    assert 1.2 <= hover.properties["seconds"] < 5


def test_a_button_says_its_own_type(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.click(".tile button >> nth=1")
    (told,) = site.wait_for(1, "add_to_cart")
    assert (told.item_id, told.recommendation_id, told.position) == ("i1", "r1", 1)
    assert "click" not in kinds(site.events())


def test_what_was_clicked_in_an_answer_is_bought_in_its_name(site: Site, page: Page) -> None:
    site.pages["/item/i1"] = '<script src="/sdk.js" data-item="i1"></script>'
    page.goto(site.address)
    page.click("text=i1")
    page.wait_for_url("**/item/i1")
    page.evaluate("tailorbird.purchase('i1', {value: 9}); tailorbird.purchase('i2', {value: 9})")
    bought, other = site.wait_for(2, "purchase")
    (view,) = site.wait_for(1, "view")
    assert (view.item_id, view.recommendation_id, view.position) == ("i1", "r1", 1)
    assert (bought.recommendation_id, bought.position) == ("r1", 1)
    assert (other.recommendation_id, other.position) == (None, None)


def test_a_login_joins_and_a_logout_renews(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.goto(site.address)
    page.evaluate(
        """() => {
            tailorbird.identify("ann"); tailorbird.identify("ann"); tailorbird.view("i0");
            tailorbird.logout(); tailorbird.view("i1");
            tailorbird.identify("bob"); tailorbird.identify("cleo");
        }"""
    )
    first, ann, of_ann, out, nobody, bob, cleo = site.wait_for(7)
    told = ["identify", "view", "logout", "view", "identify", "identify"]
    assert kinds([ann, of_ann, out, nobody, bob, cleo]) == told
    assert [each.user_id for each in (first, ann, of_ann, out, nobody)] == [None, "ann", "ann", "ann", None]
    assert first.anonymous_id == ann.anonymous_id == of_ann.anonymous_id == out.anonymous_id
    assert nobody.anonymous_id == bob.anonymous_id
    assert len({event.anonymous_id for event in (ann, bob, cleo)}) == 3


def test_a_clock_that_is_wrong_is_set_right(site: Site, page: Page) -> None:
    site.pages["/"] = BARE
    page.clock.install(time="2031-01-01T00:00:00Z")
    page.goto(site.address)
    page.evaluate("tailorbird.view('i1')")
    page.clock.run_for(3000)
    found = site.wait_for(2)
    assert all(abs(event.received_time - event.event_time) < 10 for event in found)


def test_slots_render_and_carry_their_answer(site: Site, page: Page) -> None:
    site.pages["/"] = (
        '<script async src="/sdk.js" data-consent="granted"></script>'
        '<div data-tb-slot="home" data-tb-count="2"><template><p>'
        '<a href="/item/{{itemId}}?at={{position}}" title="{{itemId}} &amp; more">item {{itemId}}</a></p></template></div>'
    )
    page.goto(site.address)
    first = page.locator("[data-tb-slot] a").first
    assert first.inner_text() == "item i0"
    assert first.get_attribute("href") == "/item/i0?at=0"
    answer = page.locator("[data-tb-item]").first.get_attribute("data-tb-rec")
    page.click("text=item i1")
    (clicked,) = site.wait_for(1, "click")
    assert (clicked.item_id, clicked.recommendation_id, clicked.position) == ("i1", answer, 1)
    asked = next(body for path, body in site.asked if path == "/v1/recommendations")
    assert asked["anonymousId"] == clicked.anonymous_id
    assert (asked["scenario"], asked["numResults"], asked["context"]["device"]) == ("home", 2, "desktop")


def test_a_slot_asked_again_knows_what_was_done_meanwhile(site: Site, page: Page) -> None:
    page.goto(site.address)
    made = """async () => {
        const place = document.body.appendChild(document.createElement("div"));
        const shown = () => place.textContent;
        const slot = tailorbird.slot(place, {numResults: 2, template: item => {
            const made = document.createElement("b"); made.textContent = `${item.itemId}:${item.title};`; return made;
        }, details: async ids => Object.fromEntries(ids.map(id => [id, {title: id.toUpperCase()}]))});
        await slot.refresh();
        const before = shown();
        tailorbird.view("i0");
        return [before, await slot.refresh(), shown()];
    }"""
    assert page.evaluate(made) == ["i0:I0;i1:I1;", True, "i1:I1;i2:I2;"]


def test_text_of_an_item_is_never_read_as_html(site: Site, page: Page) -> None:
    page.goto(site.address)
    filled = """async () => {
        const place = document.createElement("div");
        place.innerHTML = "<template><p title='{{evil}}'>{{evil}}</p></template>";
        document.body.append(place);
        const evil = "<img src=x onerror=alert(1)>' onclick='x";
        await tailorbird.slot(place, {numResults: 1, details: () => ({i0: {evil}})}).refresh();
        return [place.querySelectorAll("img").length, place.firstChild.title === evil, place.textContent === evil];
    }"""
    assert page.evaluate(filled) == [0, True, True]


def test_calls_before_the_script_is_there_count(site: Site, device: BrowserContext) -> None:
    site.pages["/"] = (
        '<script>(window.tailorbird ||= []).push(["view", "i2"])</script>'
        '<script async src="/sdk.js" data-consent="granted" data-auto="off"></script>'
    )
    device.new_page().goto(site.address)
    (told,) = site.wait_for(1)
    assert (told.type, told.item_id) == ("view", "i2")


def test_a_script_that_stands_twice_in_a_page_tells_once(site: Site, page: Page) -> None:
    site.pages["/"] = BARE + HOME + BARE
    page.goto(site.address)
    page.click("text=+ >> nth=0")
    page.evaluate("tailorbird.flush()")
    page.evaluate("tailorbird.purchase('i1'); tailorbird.flush()")
    site.wait_for(1, "purchase")
    assert [kinds(site.events()).count(kind) for kind in ("page", "add_to_cart")] == [1, 1]


def test_a_mouse_that_leaves_the_window_dwells_no_longer(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.hover("text=i0")
    page.evaluate(
        "document.querySelector('a').dispatchEvent(new PointerEvent('pointerout', {bubbles: true, relatedTarget: null}))"
    )
    page.wait_for_timeout(1_200)
    page.hover("text=i1")
    page.wait_for_timeout(1_200)
    page.mouse.move(500, 500)
    assert [event.item_id for event in site.wait_for(1, "hover")] == ["i1"]
