"""Nothing is kept or sent before consent, nothing after its withdrawal, and signals that say no are heard; in a real Chromium."""

import pytest
from playwright.sync_api import BrowserContext, Page

from serving.privacy.consents import ConsentKeeper
from tests.sdk.site import TILES, Site
from tests.serving.triggers.subscriber import wait_until

pytestmark = pytest.mark.browser
ASKING = f'<script src="/sdk.js"></script><main>{TILES}</main>'
KEPT = "Object.keys(localStorage).filter(key => key.startsWith('tailorbird'))"


def act(page: Page) -> None:
    """Everything that would be told."""
    page.click("text=+ >> nth=0")
    page.evaluate(
        "tailorbird.view('i1'); tailorbird.identify('ann'); tailorbird.purchase('i1'); tailorbird.logout()"
    )
    assert page.evaluate("tailorbird.recommend()") is None
    page.evaluate("tailorbird.flush()")
    page.wait_for_timeout(1_500)  # longer than a batch waits, and than an impression takes


def test_nothing_is_kept_or_sent_before_consent(site: Site, page: Page, device: BrowserContext) -> None:
    site.pages["/"] = ASKING
    page.goto(site.address)
    act(page)
    page.goto(site.address)
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert device.cookies() == []
    assert site.asked == []
    assert page.evaluate("tailorbird.consent(true)")
    page.click("text=+ >> nth=1")
    assert [event.item_id for event in site.wait_for(1, "add_to_cart")] == ["i1"]
    assert len(site.wait_for(1, "page")) == 1


def test_consent_is_remembered_by_the_device(site: Site, page: Page) -> None:
    site.pages["/"] = ASKING
    page.goto(site.address)
    page.evaluate("tailorbird.consent(true)")
    page.goto(site.address)
    assert page.evaluate("tailorbird.consent()")
    assert len(site.wait_for(2, "page")) == 2


def test_withdrawing_clears_the_ids_and_what_waits_in_every_tab(
    site: Site, page: Page, device: BrowserContext
) -> None:
    other = device.new_page()
    page.goto(site.address)
    other.goto(site.address)
    site.wait_for(2)
    page.wait_for_function(f"{KEPT}.length == 1")
    device.set_offline(True)
    for each in (page, other):
        each.evaluate("tailorbird.view('i1')")
    page.evaluate("tailorbird.consent(false)")
    assert page.evaluate(KEPT) == []
    device.set_offline(False)
    asked = len(site.asked)
    act(page)
    act(other)
    assert not page.evaluate("tailorbird.consent()")
    assert not other.evaluate("tailorbird.consent()")
    assert page.evaluate(KEPT) == []
    page.close()
    other.close()
    assert len(site.asked) == asked
    assert "i1" not in [event.item_id for event in site.events()]


def test_consent_that_is_given_again_is_a_new_person(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.evaluate("tailorbird.view('i0'); tailorbird.flush()")
    site.wait_for(2)
    page.evaluate("tailorbird.consent(false); tailorbird.consent(true); tailorbird.view('i1')")
    before, after = (
        next(event.anonymous_id for event in site.wait_for(2, "view") if event.item_id == item)
        for item in ("i0", "i1")
    )
    assert before != after


@pytest.mark.parametrize(
    "signal", ["globalPrivacyControl', {value: true}", "doNotTrack', {value: '1'}"], ids=["gpc", "dnt"]
)
def test_a_signal_that_says_no_is_heard(site: Site, device: BrowserContext, signal: str) -> None:
    page = device.new_page()
    page.goto(site.address)
    site.wait_for(3, "impression")  # all that this page tells of itself
    page.wait_for_function(f"{KEPT}.length == 1")
    device.add_init_script(f"Object.defineProperty(navigator, '{signal})")
    page.goto(site.address)
    told, asked = len(site.events()), len(site.asked)
    assert page.evaluate(KEPT) == []
    assert not page.evaluate("tailorbird.consent(true)")
    act(page)
    assert page.evaluate(KEPT) == []
    assert (len(site.events()), len(site.asked)) == (told, asked)


def test_a_slot_may_ask_without_consent_and_without_ids(site: Site, page: Page) -> None:
    site.pages["/"] = (
        '<script src="/sdk.js"></script><div data-tb-slot="home" data-tb-anonymous>'
        "<template><p>{{itemId}}</p></template></div>"
    )
    page.goto(site.address)
    page.wait_for_selector("[data-tb-item]")
    ((_, asked),) = site.asked
    assert not {"userId", "anonymousId", "sessionId", "context"} & set(asked)
    assert page.evaluate(KEPT) == []


def test_a_word_on_each_purpose_goes_with_what_is_told_and_the_platform_hears_it(
    site: Site, page: Page
) -> None:
    site.pages["/"] = ASKING
    page.goto(site.address)
    said = {"personalization": True, "advertising": False}
    assert page.evaluate("said => tailorbird.consent(said)", said)
    anonymous = page.evaluate("JSON.parse(localStorage.tailorbird).a")
    page.evaluate("tailorbird.view('i1')")
    assert site.wait_for(1, "view")[0].context["consent"] == said
    keeper = ConsentKeeper(site.world.settings, door=site.world.door)
    wait_until(lambda: keeper.told(site.world.key(f"anon:{anonymous}")).purposes == said)
    page.evaluate("tailorbird.identify('ann')")
    wait_until(lambda: keeper.told(site.world.key("user:ann")).purposes == said)
    page.evaluate("tailorbird.recommend()")
    asked = [body for path, body in site.asked if path == "/v1/recommendations"]
    assert asked[-1]["context"]["consent"] == said
    page.evaluate("tailorbird.logout()")
    assert page.evaluate("JSON.parse(localStorage.tailorbird).p") == said
    page.evaluate("tailorbird.identify('ann')")
    assert page.evaluate("tailorbird.consent({personalization: false, advertising: false})") is False
    assert page.evaluate(KEPT) == []
    refused = {"personalization": False, "advertising": False}
    wait_until(lambda: keeper.told(site.world.key("user:ann")).purposes == refused)
