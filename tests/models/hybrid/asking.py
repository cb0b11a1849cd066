"""The hybrid of the toy world: how it is fitted, and how somebody asks it."""

import numpy as np

from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.fit import FittedHybrid, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.recipes.recipe import Recipe
from tests.models import toy

NOW = toy.START + 24 * 60.0
RECIPE = Recipe.of(
    {
        "name": "toy",
        "width": 16,
        "candidates": 10,
        "exclude_seen": False,
        "sources": ["cooccurrence", "sequence", "content", "popularity"],
        "popularity": {"segment_events": 50},
        "cooccurrence": {"window": 3, "smoothing": 1.0, "ease_l2": 10.0},
        "sequence": {
            "history": 8,
            "epochs": 6,
            "refit_epochs": 1,
            "batch_events": 128,
            "learning_rate": 0.01,
        },
        "ranker": {"share": 0.3, "negatives": 9, "epochs": 20, "cases": 400},
    }
)


class Steps(list[Progress]):
    def __call__(self, progress: Progress) -> None:
        self.append(progress)


def fit(steps: Steps) -> FittedHybrid:
    data = toy.interactions()
    log = toy.events(data)
    profiles = ReplayProfiles.of_frame(log, toy.catalog())
    return fit_hybrid(
        data,
        toy.catalog(),
        toy.people(),
        profiles,
        EventColumns.of_frame(log),
        RECIPE,
        seed=1,
        on_progress=steps,
    )


def profile_of(*item_rows: int, user: str = "someone") -> UserState:
    catalog = toy.catalog()
    return fold(
        UserState.empty(user),
        [
            Event(
                f"e-{place}",
                "click",
                NOW - 600 + 60 * place,
                NOW,
                user_id=user,
                item_id=catalog.item_ids[row],
            )
            for place, row in enumerate(item_rows)
        ],
        ItemFacts.of(catalog),
    )


def ask(model: HybridModel, state: UserState, **options: object) -> np.ndarray:
    found = model.shortlist(model.history_of(state, now=NOW), **options)  # type: ignore[arg-type]
    scores, _ = model.score(found, state, now=NOW)
    return found.rows[np.argsort(-scores, kind="stable")]
