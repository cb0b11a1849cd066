"""The toy workspace as it goes on: newer walks, and people who see a canary."""

import time
from typing import Any

import numpy as np

from registry.versions.versions import Registry
from tailorbird.events.schema import Event
from tailorbird.experiments.running.ledger import Ledger as Experiments
from tailorbird.exposures.exposure import new_recommendation_id
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import exposure
from tests.training.toy import RECIPE, append, trained, walks
from training.retrain.canary import CONTROL, RETRAINED
from training.retrain.ledger import STEPS, Ledger, Taken
from training.retrain.order import CanaryRules, Order

QUICK = CanaryRules(hours=1e-6, most_hours=0.1, units=100)
BY_GATES = Order(canary=None)
BY_CANARY = Order(canary=QUICK)


def with_champion(settings: Settings, recipe: Any = RECIPE) -> None:
    """Version 1 is champion."""
    from registry.commands import moved_to

    moved_to(settings, trained(settings, recipe), alias="champion", expected=0, reason="toy")


def go_on(settings: Settings, *, people: int = 60, first: int = 200, day: int = 60, seed: int = 5) -> None:
    """Other people walk the chains, later than anybody before."""
    later = walks(people, days=1.0, seed=seed, first=first)
    later["event_time"] += np.timedelta64(day, "D")
    later["received_time"] = later["event_time"]
    append(settings, later)


def see(
    settings: Settings, at: float, *, people: int = 300, failed: float = 0.0, lost: float = 0.0
) -> str | None:
    """People see the canary that runs, by turns; ``failed`` of its answers fail, ``lost`` of its people never arrive."""
    running = Experiments(settings.folder).entries(state="running")
    if not running:
        return None
    key, rng = running[0].key, np.random.default_rng(0)
    shown, clicks = [], []
    for n in range(people):
        variant = (CONTROL, RETRAINED)[n % 2]
        if variant == RETRAINED and rng.random() < lost:
            continue
        identity, person = new_recommendation_id(at), f"seen{n}"
        broke = variant == RETRAINED and rng.random() < failed
        shown.append(
            exposure(
                n,
                recommendation_id=identity,
                instant=at,
                scored_at=at,
                user_id=person,
                experiments={key: variant},
                fallback="champion" if broke else "",
                took_ms=float(rng.gamma(4, 2)),
            )
        )
        if rng.random() < 0.3:
            clicks.append(
                Event(
                    message_id=f"c{n}",
                    type="click",
                    event_time=at + 0.001,
                    received_time=at + 0.002,
                    user_id=person,
                    item_id="tea-1",
                    recommendation_id=identity,
                )
            )
    with open_exposures(settings) as stream:
        stream.append(shown)
    with open_events(settings) as stream:
        stream.append(clicks)
    return key


class Waiting:
    """A clock that whoever waits moves on, and people who come to see the canary meanwhile, once."""

    def __init__(
        self, settings: Settings, *, people: int = 300, failed: float = 0.0, lost: float = 0.0
    ) -> None:
        self._settings, self._people, self._failed, self._lost = settings, people, failed, lost
        self._waited = 0.0

    def clock(self) -> float:
        return time.time() + self._waited

    def sleep(self, seconds: float) -> None:
        if self._people:
            see(self._settings, self.clock(), people=self._people, failed=self._failed, lost=self._lost)
        self._people = 0
        self._waited += 100.0


def champion(settings: Settings) -> int | None:
    return Registry(settings).aliases().get("champion")


def at_canary(settings: Settings) -> None:
    """A round whose steps before the canary are done."""
    ledger = Ledger(settings.folder)
    number = ledger.begin(why="asked for", at=time.time()).number
    for step in STEPS[: STEPS.index("canary")]:
        ledger.done(number, Taken(step, time.time(), 0.0, ""), facts={"version": 2, "champion": 1})
