"""``python -m tests.sdk.visits``: what closings, cuts and errors lose or double, and what tracking costs a page.

A script of visits is drawn from a seed: people with a device each browse, in one tab or two, log in and out, while tabs are
closed in the middle, the network is cut and the platform refuses or answers into the void. Then every device comes back
once, online, and what was stored is compared with what was done.
"""

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from serving.cluster import free_ports
from tailorbird.settings import load_settings
from tests.sdk.conftest import FLAGS, chromium_program
from tests.sdk.site import TILES, Fault, Site
from tests.serving.shop import make_shop
from tests.serving.world import World

PEOPLE = 10
QUIET = f'<script src="/sdk.js" data-consent="granted" data-auto="off"></script><main>{TILES}</main>'
WAITING = "Object.keys(localStorage).filter(key => key.startsWith('tailorbird.q.')).length"
CLICKS = """async (flush) => {
    const tile = document.querySelector("[data-tb-item]");
    for (let n = 0; n < 1000; n++) tile.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    if (flush) await tailorbird.flush();
}"""


class Device:
    """A person's browser, and what was done in it."""

    def __init__(self, browser: Browser, name: str, *, address: str) -> None:
        self.context: BrowserContext = browser.new_context()
        self.name, self.address = name, address
        self.done: list[tuple[str, str | None]] = []
        """What was done (its number as text), and by which user."""
        self.user: str | None = None
        self.errors: list[str] = []
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def tab(self) -> Page:
        page = self.context.new_page()
        page.goto(self.address)
        return page

    def act(self, page: Page, rng: random.Random) -> None:
        """One thing of the script."""
        kind = rng.choices(("track", "login", "logout"), (12, 1, 1))[0]
        if kind == "login":
            self.user = f"{self.name}-{rng.randrange(2)}"
            page.evaluate(f"tailorbird.identify('{self.user}')")
        elif kind == "logout":
            self.user = None
            page.evaluate("tailorbird.logout()")
        else:
            number = f"{self.name}:{len(self.done)}"
            self.done.append((number, self.user))
            page.evaluate(f"tailorbird.track('step', {{properties: {{n: '{number}'}}}})")


def visit(device: Device, site: Site, rng: random.Random) -> Counter[str]:
    """One visit of the script; says what happened in it."""
    happened: Counter[str] = Counter()
    tabs = [device.tab() for _ in range(rng.choice((1, 1, 2)))]
    happened["two tabs"] += len(tabs) - 1
    if rng.random() < 0.4:
        status = rng.choice((0, 0, 429, 500, 503))
        retry = {"retry-after": "1"} if status in (429, 503) and rng.random() < 0.7 else {}
        site.faults.append(Fault(status, retry, times=rng.choice((1, 2))))
        happened["answers lost" if status == 0 else "refusals"] += 1
    cut_at, back_at = sorted(rng.sample(range(14), 2)) if rng.random() < 0.3 else (99, 99)
    happened["cuts"] += cut_at < 99
    for step in range(rng.randint(2, 12)):
        if step == cut_at:
            device.context.set_offline(True)
        if step == back_at:
            device.context.set_offline(False)
        page = rng.choice(tabs)
        device.act(page, rng)
        if rng.random() < 0.3:
            page.evaluate("void tailorbird.flush()")
        if rng.random() < 0.1 and not cut_at <= step < back_at:
            page.reload()
            happened["reloads"] += 1
        if rng.random() < 0.1:
            page.wait_for_timeout(rng.randrange(1_500))
    happened["closings"] += len(tabs)
    for page in tabs:
        page.close()
    device.context.set_offline(False)
    return happened


def settle(device: Device) -> None:
    """The visit that counts all: online, and nothing refuses."""
    page = device.tab()
    page.wait_for_function(f"{WAITING} == 0", timeout=60_000)
    page.close()


def judge(devices: list[Device], site: Site) -> dict[str, int]:
    """Lost, doubled, out of order, with wrong ids, errors in pages."""
    stored = [event for event in site.events() if event.type == "step"]
    found = {
        name: [event for event in stored if event.properties["n"].split(":")[0] == name]
        for name in (d.name for d in devices)
    }
    told = Counter(event.properties["n"] for event in stored)
    done = dict(pair for device in devices for pair in device.done)
    return {
        "done": len(done),
        "stored": len(stored),
        "lost": len(done.keys() - told.keys()),
        "doubled": sum(count - 1 for count in told.values()),
        "out of order": sum(
            [event.properties["n"] for event in found[device.name]] != [number for number, _ in device.done]
            for device in devices
        ),
        "wrong user": sum(event.user_id != done.get(event.properties["n"]) for event in stored),
        "errors in pages": sum(len(device.errors) for device in devices),
        "sent again": len(site.sent_ids()) - len(set(site.sent_ids())),
    }


def cost(browser: Browser, site: Site, *, rounds: int) -> dict[str, list[float]]:
    """Processor time of the main thread for 1,000 clicks on a marked item (ms), by Chromium's own count of its tasks.

    Without the SDK, with it until all is captured, and until all is acknowledged; each round in a new tab.
    """
    context = browser.new_context()
    site.pages["/cost"] = QUIET.replace(' data-auto="off"', "")
    site.pages["/bare"] = f"<main>{TILES}</main>"
    took: dict[str, list[float]] = {"bare": [], "captured": [], "sent": []}
    for _ in range(rounds):
        for name, path in (("bare", "/bare"), ("captured", "/cost"), ("sent", "/cost")):
            page = context.new_page()
            page.goto(site.address + path)
            page.wait_for_timeout(1_500)  # the page's own events are sent, impressions seen
            chromium = context.new_cdp_session(page)
            chromium.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = _busy_ms(chromium)
            page.evaluate(CLICKS, name == "sent")
            took[name].append(round(_busy_ms(chromium) - before, 1))
            page.close()
    context.close()
    return {name: sorted(each) for name, each in took.items()}


def _busy_ms(chromium: CDPSession) -> float:
    metrics = chromium.send("Performance.getMetrics")["metrics"]
    return 1_000 * next(each["value"] for each in metrics if each["name"] == "TaskDuration")


@contextmanager
def shop_site() -> Iterator[Site]:
    """The toy shop's platform and its web site, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = load_settings(home=home / "home", mlruns=home / "mlruns", workspace="toy")
        make_shop(settings, scratch=home)
        world = World(settings, body=1_000_000)
        site = Site(world, port=free_ports(1)[0])
        site.pages["/"] = QUIET
        yield site
        site.close()
        world.close()


def main() -> None:
    """Run the script and print the figures as JSON."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--visits", type=int, default=200)
    words.add_argument("--seed", type=int, default=7)
    words.add_argument("--rounds", type=int, default=9, help="Measures of the main thread's time.")
    asked = words.parse_args()
    rng = random.Random(asked.seed)
    with shop_site() as site, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium_program(), args=list(FLAGS))
        devices = [Device(browser, f"d{n}", address=site.address) for n in range(PEOPLE)]
        happened: Counter[str] = Counter()
        for number in range(asked.visits):
            happened += visit(devices[number % PEOPLE], site, rng)
        site.faults.clear()
        for device in devices:
            settle(device)
        figures = judge(devices, site)
        took = cost(browser, site, rounds=asked.rounds)
        browser.close()
    print(json.dumps({"visits": asked.visits, **happened, **figures, "1,000 clicks, ms": took}, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
