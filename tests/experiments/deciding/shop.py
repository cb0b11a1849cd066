"""A small workspace in which a test has run: slates, what people did with them, and the ledger's word of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.exposures.exposure import TEAMS, new_recommendation_id
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import exposure

START, DAY = 1_700_000_000.0, 86_400.0
KEY = "more-variety"


def declared(**more: Any) -> dict[str, Any]:
    return {
        "hypothesis": "Varied slates are clicked more",
        "days": 7,
        "metrics": {
            "primary": "conversion",
            "minimum_effect": 0.2,
            "guardrails": [{"metric": "hides", "margin": 0.1}],
            "others": ["revenue_per_person", "clicks_per_slate"],
        },
        "variants": {"usual": {}, "varied": {"slate": {"max_category_share": 0.3}}},
        **more,
    }


def start(settings: Settings, key: str = KEY, **more: Any) -> Ledger:
    said = declared(**more)
    ledger = Ledger(settings.folder)
    ledger.start(experiment_of(key, said, where=key), said, at=START, who="ann")
    return ledger


def happen(
    settings: Settings,
    *,
    people: int = 800,
    chances: Mapping[str, float] = {"usual": 0.2, "varied": 0.4},
    lost: float = 0.0,
    days: float = 7.0,
    key: str = KEY,
    seed: int = 0,
    prefix: str = "u",
) -> None:
    """Show everybody a slate in the first days, of a variant by turns; ``lost`` of the last variant's people never arrive."""
    rng = np.random.default_rng(seed)
    shown, deeds = [], []
    names = list(chances)
    for n in range(people):
        variant = names[n % len(names)]
        if variant == names[-1] and rng.random() < lost:
            continue
        at = START + float(rng.random()) * days * DAY
        identity, person = new_recommendation_id(at), f"{prefix}{n}"
        shown.append(
            exposure(
                n,
                recommendation_id=identity,
                instant=at,
                scored_at=at,
                user_id=person,
                session_id=f"s{n}",
                experiments={key: variant},
                took_ms=float(rng.gamma(2, 2)),
                context={"device": ("mobile", "desktop")[n // len(names) % 2]},
            )
        )
        deeds.append(_deed(person, n, "view", at - 3 * DAY))
        if rng.random() < 0.5:
            deeds.append(_deed(person, n, "click", at + 20, recommendation_id=identity))
        if rng.random() < chances[variant]:
            deeds.append(_deed(person, n, "purchase", at + 60, value=float(rng.gamma(2, 10))))
    with open_exposures(settings) as stream:
        stream.append(shown)
    with open_events(settings) as stream:
        stream.append(deeds)


def draft(settings: Settings, *, people: int, key: str = KEY) -> None:
    """Show everybody an interleaved slate of two picks, by turns; three of four click the one of "varied"."""
    shown, deeds = [], []
    for n in range(people):
        at = START + n
        identity, teams = new_recommendation_id(at), ("usual", "varied") if n % 2 else ("varied", "usual")
        shown.append(
            exposure(
                n,
                recommendation_id=identity,
                instant=at,
                user_id=f"u{n}",
                items=("i1", "i2", "i3"),
                experiments={key: "interleaved"},
                request={"k": 3, TEAMS: [*teams, None]},
            )
        )
        item = f"i{1 + teams.index('usual' if n % 4 == 0 else 'varied')}"
        deeds.append(_deed(f"u{n}", n, "click", at + 20, item_id=item, recommendation_id=identity))
    with open_exposures(settings) as stream:
        stream.append(shown)
    with open_events(settings) as stream:
        stream.append(deeds)


def _deed(person: str, n: int, kind: str, at: float, **more: Any) -> Event:
    return Event(
        message_id=f"{person}-{kind}-{at}",
        type=kind,
        event_time=at,
        received_time=at + 1,
        user_id=person,
        session_id=f"s{n}",
        **{"item_id": "i1", **more},
    )
