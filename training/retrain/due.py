"""Whether a round is due, and what it would do."""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from registry.following.pointers import RegistryError
from registry.versions.versions import Registered, Registry
from tailorbird.settings import Settings
from training.retrain.cause import LEAST_EVENTS, News, news_of
from training.retrain.ledger import STEPS, Ledger, Round
from training.retrain.order import CHAMPION, Order
from training.retrain.parent import arrived_of


@dataclass(frozen=True)
class Causes:
    """What brings a round about: seconds between looks, newer events, drift; without the last two every look does."""

    every: float | None = None
    after_events: int | None = None
    on_drift: float | None = None


@dataclass(frozen=True)
class Standing:
    """Where retraining stands: ``why`` a round is due ("" where none is), ``seconds`` until the next look, the rest in ``words``."""

    why: str
    seconds: float
    words: tuple[str, ...]
    news: News | None
    steps: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "due": bool(self.why),
            "why": self.why or None,
            "newer_events": self.news.events if self.news else None,
            "drift": self.news.drift if self.news else None,
            "steps": list(self.steps),
        }


def standing_of(
    settings: Settings, order: Order, causes: Causes, *, clock: Callable[[], float] = time.time
) -> Standing:
    """Look at the ledger, the champion and the events since. Raises TailorbirdError where one of them is away."""
    steps = tuple(each for each in STEPS if each != "canary" or order.canary is not None)
    ledger = Ledger(settings.folder)
    last = next(iter(ledger.rounds(last=1)), None)
    ledger.close()
    if last is not None and last.ended is None:
        goes_on = f"round {last.number} goes on at {last.step}"
        left = STEPS[STEPS.index(last.step) :]
        return Standing(last.why, 0.0, (goes_on,), None, tuple(each for each in left if each in steps))
    wait = 0.0 if causes.every is None or last is None else last.began + causes.every - clock()
    if wait > 0 and not (causes.after_events or causes.on_drift):
        return Standing("", wait, (f"the next round begins in {wait:,.0f} seconds",), None, steps)
    pause = causes.every or 0.0
    registry = Registry(settings)
    champion = registry.alias(CHAMPION)
    if champion is None:
        return Standing("there is no champion", pause, ("a first version is trained",), None, steps)
    news = news_of(settings, _learned(registry, champion, last))
    words = (
        f"champion is version {champion.version}; {news.events:,} events on items are newer than {news.since:%Y-%m-%d %H:%M}",
        f"drift: {news.drift:.3f}"
        if news.drift is not None
        else f"drift: {LEAST_EVENTS:,} newer events would tell",
    )
    return Standing(_why(news, causes), pause, words, news, steps)


def _learned(registry: Registry, champion: Registered, last: Round | None) -> dt.datetime:
    """When the last event arrived of the champion's data, or of the last round's version: what led to no champion is not learned again."""
    learned = [champion]
    if last is not None and "version" in last.facts:
        with suppress(RegistryError):  # it may have been deleted since
            learned.append(registry.version(last.facts["version"]))
    return max(map(arrived_of, learned))


def _why(news: News, causes: Causes) -> str:
    if not causes.after_events and not causes.on_drift:
        return "by schedule" if causes.every else "asked for"
    if causes.after_events and news.events >= causes.after_events:
        return f"{news.events:,} newer events"
    if causes.on_drift and news.drift is not None and news.drift >= causes.on_drift:
        return f"drift {news.drift:.3f}"
    return ""
