"""A real Chromium and a shop's web site for it; tests skip with a reason where there is no Chromium."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from serving.cluster import free_ports
from tailorbird.settings import Settings
from tests.sdk.site import Site
from tests.serving.conftest import make_world, shop
from tests.serving.shop import copied
from tests.serving.world import World

__all__ = ["make_world", "shop"]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)


def chromium_program() -> str | None:
    """Where this machine's Chromium is."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """A browser for as long as the block runs; meanwhile nobody else can run an event loop in this thread."""
    program = chromium_program()
    if program is None:
        pytest.skip("no Chromium here: install the package chromium")
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=program, args=list(FLAGS), ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a file; each has a context, and so a device, of its own."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def platform(shop: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One platform for all sites whose pages are of its own origin."""
    made = World(copied(shop, tmp_path_factory.mktemp("platform")), body=1_000_000)
    yield made
    made.close()


@pytest.fixture
def site(platform: World) -> Iterator[Site]:
    """The web site of one test, at a port of its own: what pages of another test still send does not reach it."""
    made = Site(platform, port=free_ports(1)[0])
    yield made
    made.close()


@pytest.fixture
def open_site(make_world: Callable[..., World]) -> Iterator[Site]:
    """One whose platform lets pages of the other origin call."""
    port = free_ports(1)[0]

    def listed(settings: Settings) -> Settings:
        return settings.model_copy(update={"cors_origins": f"http://shop.test:{port}"})

    made = Site(make_world(listed, body=1_000_000), port=port)
    yield made
    made.close()


@pytest.fixture
def troubles() -> list[str]:
    """What went wrong in pages; empty at the end of a test, or the test fails."""
    return []


@pytest.fixture
def device(chromium: Browser, troubles: list[str]) -> Iterator[BrowserContext]:
    """A person's browser, empty at first. An error in one of its pages fails the test."""
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    yield context
    context.close()
    assert troubles == []


@pytest.fixture
def page(device: BrowserContext) -> Page:
    """A tab."""
    return device.new_page()
