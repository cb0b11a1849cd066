"""A small workspace in which a bandit runs: whoever comes is drawn by what the ledger says, and does what the variant brings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tailorbird.events.schema import Event
from tailorbird.experiments.canary.guard import Guard
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.assigning import Asker, Assignment
from tailorbird.experiments.running.checking import Known
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.launching import Launcher
from tailorbird.exposures.exposure import TIME_DIGITS, new_recommendation_id
from tailorbird.exposures.record import with_draws
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tests.exposures.toy import NOW, exposure

HOUR = 3_600.0
KEY = "headline"
DECLARED = {
    "hypothesis": "one headline is clicked more",
    "kind": "bandit",
    "days": 3,
    "bandit": {"every_hours": 24, "window_hours": 6},
    "metrics": {"primary": "clicks_per_slate", "minimum_effect": 0.2},
    "variants": {"usual": {}, "bold": {"payload": {"headline": "For you"}}},
}
BY_DEVICE: Mapping[str, Any] = {
    "unit": "request",
    "bandit": {
        "policy": "linucb",
        "every_hours": 24,
        "window_hours": 6,
        "context": {"device": ["mobile", "desktop"]},
    },
}


class Shop:
    """The workspace, the guard that renews, and a clock that is moved by hand."""

    def __init__(self, settings: Settings, **changes: Any) -> None:
        self.settings, self.now, self.came = settings, NOW, 0
        known = Known(versions=lambda asked: asked, aliases=dict, segments=list)
        self.launcher = Launcher(settings, known=known, clock=lambda: self.now)
        self.guard = Guard(settings, self.launcher, clock=lambda: self.now)
        said = {**DECLARED, **changes}
        self.launcher.ledger.start(experiment_of(KEY, said, where=KEY), said, at=NOW, who="ann")

    @property
    def entry(self) -> Entry:
        found = self.launcher.ledger.get(KEY)
        assert found is not None
        return found

    def happen(
        self,
        people: int,
        *,
        chances: Mapping[str, float],
        opposite: bool = False,
        drawn_by: Entry | None = None,
    ) -> None:
        """People come in the next 16 hours; on a desktop, where ``opposite``, the chances are those of the other variant."""
        rng = np.random.default_rng(self.came)
        assignment, names = Assignment([drawn_by or self.entry]), list(chances)
        answers, clicks = [], []
        for _ in range(people):
            n, at = self.came, self.now + float(rng.random()) * 16 * HOUR
            self.came += 1
            identity = f"{new_recommendation_id(at)[:TIME_DIGITS]}{n:012x}"  # the same in every run
            person = f"u{n}"
            context = {"device": ("mobile", "desktop")[n % 2]}
            assigned = assignment.assign(
                Asker(person=f"user:{person}", request=identity, context=context, at=at)
            )
            variant = assigned.variants[KEY]
            answers.append(
                exposure(
                    n,
                    recommendation_id=identity,
                    instant=at,
                    scored_at=at,
                    user_id=person,
                    experiments=dict(assigned.variants),
                    request=with_draws({"k": 3}, assigned.draws),
                    context=context,
                )
            )
            best = variant
            if opposite and n % 2:
                best = names[1 - names.index(variant)]
            if rng.random() < chances[best]:
                clicks.append(_click(person, n, at + HOUR, identity))
        with open_exposures(self.settings) as stream:
            stream.append(answers)
        with open_events(self.settings) as log:
            log.append(clicks)

    def pass_day(self) -> list[str]:
        """A day is over, and admin looks."""
        self.now += 24 * HOUR
        return self.guard.look()


def _click(person: str, n: int, at: float, identity: str) -> Event:
    return Event(
        message_id=f"{person}-{n}",
        type="click",
        event_time=at,
        received_time=at + 1,
        user_id=person,
        session_id="s",
        item_id="i1",
        recommendation_id=identity,
    )
