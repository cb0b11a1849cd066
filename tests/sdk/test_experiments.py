"""The experiments module in a real Chromium: what a variant says is shown, kept for the next page, and nobody is asked without consent."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.ledger import Ledger
from tests.sdk.site import BARE, Site

pytestmark = pytest.mark.browser
MODULE = Path(__file__).resolve().parents[2] / "sdk" / "js" / "dist" / "experiments.mjs"
ASKED = "/v1/assignments"
SHOWN = (
    "[document.querySelector('h1').textContent, getComputedStyle(document.querySelector('h1')).visibility]"
)


def script() -> str:
    """The module as a page loads it, from its own text: no other server is needed."""
    source = base64.b64encode(MODULE.read_bytes()).decode()
    return f"""<script type="module">
        const {{ openExperiments }} = await import("data:text/javascript;base64,{source}");
        window.experiments = openExperiments({{ scenario: "home", waitMs: 5000 }});
        window.before = {SHOWN};
        await window.experiments.ready;
        window.after = {SHOWN};
    </script>"""


@pytest.fixture
def headline(site: Site) -> Iterator[Site]:
    """A site whose heading is an experiment, of which everybody gets the variant that says hello."""
    said = {
        "hypothesis": "h",
        "metrics": {"primary": "click_through", "minimum_effect": 0.1},
        "unit": "anonymous",
        "variants": {
            "hello": {"weight": 1 - 1e-9, "payload": {"headline": "<b>Hello</b>"}},
            "never": {"weight": 1e-9},
        },
    }
    ledger, key = Ledger(site.world.settings.folder), f"headline-{site.port}"
    ledger.start(experiment_of(key, said, where=key), said, at=1.0, who="ann")
    site.world.check()
    heading = f'<h1 data-tb-experiment="{key}" data-tb-text="headline">Welcome</h1>'
    site.pages["/"] = f"{BARE}{heading}{script()}"
    site.pages["/quiet"] = f"{heading}{script()}"
    yield site
    ledger.stop(key, at=2.0, who="ann")
    site.world.check()


def asked(site: Site) -> int:
    return sum(path == ASKED for path, _ in site.asked)


def test_a_variant_is_shown_as_text_without_flicker_and_kept_for_the_next_page(
    headline: Site, page: Page
) -> None:
    for _ in range(2):
        page.goto(headline.address)
        page.wait_for_function("window.after")
        assert page.evaluate("window.before") == ["Welcome", "hidden"]
        assert page.evaluate("window.after") == ["<b>Hello</b>", "visible"]
        assert page.evaluate("document.querySelector('h1').dataset.tbVariant") == "hello"
    assert asked(headline) == 1
    page.evaluate("tailorbird.consent(false)")
    page.goto(f"{headline.address}/quiet")
    page.wait_for_function("window.after")
    assert page.evaluate("window.after") == ["Welcome", "visible"]
    assert page.evaluate("localStorage.getItem('tailorbird.variants')") is None
    assert asked(headline) == 1


def test_nobody_is_asked_without_consent(headline: Site, page: Page) -> None:
    page.goto(f"{headline.address}/quiet")
    page.wait_for_function("window.after")
    assert page.evaluate("window.after") == ["Welcome", "visible"]
    assert asked(headline) == 0
