"""The pages of docs/guides/cms.md do what it says: the plain one in a real Chromium, the template in the SDK's words."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.sdk.site import Site

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "cms.md").read_text(encoding="utf-8")
SOURCES = ROOT / "sdk" / "js" / "src"


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.S | re.M)
    return found


@pytest.mark.browser
def test_the_plain_page_tells_and_shows_once_the_person_agrees(site: Site, page: Page) -> None:
    site.pages["/"] = block("html").replace("https://reco.shop.example", "")
    page.goto(site.address)
    page.wait_for_function("!!tailorbird.consent")
    page.click("#buy")
    assert page.inner_text("#for-you") == "What is new"
    page.click("text=Yes")
    assert not page.is_visible("#ask")
    page.wait_for_selector("#for-you [data-tb-item]")
    assert page.inner_text("#for-you").startswith("A ")
    page.click("#buy")
    page.locator("#for-you a").first.click()
    (clicked,) = site.wait_for(1, "click")
    (view,), (added,) = site.wait_for(1, "view"), site.wait_for(1, "add_to_cart")
    assert (view.item_id, added.item_id, added.value) == ("i0", "i0", 4.5)
    assert (clicked.item_id in ("i1", "i2", "i3"), clicked.position) == (True, 0)
    asked = next(body for path, body in site.asked if path == "/v1/recommendations")
    assert (asked["scenario"], asked["itemId"], asked["numResults"]) == ("product", "i0", 2)


def test_the_template_speaks_the_words_of_the_sdk() -> None:
    interface = re.search(
        r"export interface Tailorbird \{(.*?)^\}", (SOURCES / "index.ts").read_text(), re.S | re.M
    )
    assert interface
    functions = set(re.findall(r"^  (\w+)\(", interface[1], re.M))
    template = block("php")
    called = re.findall(r"(?:push\(|tailorbird_call\()\['(\w+)'", template)
    assert set(called) == {"consent", "addToCart", "slot", "purchase", "search"}
    assert set(called) <= functions
    attributes = set(re.findall(r"\bgiven\.(\w+)", (SOURCES / "tag.ts").read_text()))
    assert set(re.findall(r" data-(\w+)=", template)) <= attributes
    asked = (SOURCES / "contract.ts").read_text() + (SOURCES / "slot.ts").read_text()
    for word in ("scenario", "numResults", "itemId", "details"):
        assert re.search(rf"\b{word}\??:", asked)
        assert word in template
