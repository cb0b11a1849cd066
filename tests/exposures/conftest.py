"""A simulated shop and a hybrid fitted on it: what a trace is asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.columns import EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.rows import micros, user_keys
from tailorbird.events.schema import Event, user_key
from tailorbird.events.valence import PRESENCE
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.models.hybrid.fit import fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.recipes.recipe import load_recipe
from tailorbird.simulator.shop import Shop
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf


@dataclass(frozen=True)
class FittedShop:
    """The shop's past as events, and what answers on it."""

    end: float
    catalog: Catalog
    users: Users
    events: pd.DataFrame
    model: HybridModel

    @cached_property
    def facts(self) -> ItemFacts:
        return ItemFacts.of(self.catalog)

    @cached_property
    def recommender(self) -> Recommender:
        return recommender_of(self.model, name="shop", version="1", shelf=Shelf.of(self.catalog))

    @cached_property
    def by_user(self) -> dict[str, list[Event]]:
        return {str(user): _events(rows) for user, rows in self.events.groupby("user_id", sort=True)}

    def query(self, user: str, events: Sequence[Event], **wishes: object) -> Query:
        key = user_key(user_id=user, anonymous_id=None)
        person = demographics_of(self.users)[key]
        state = fold(UserState.empty(key), events, self.facts)
        return Query(state, self.end, demographics=person, **wishes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shop() -> FittedShop:
    made = Shop.make(200, 5)
    events, catalog = made.events(), made.catalog
    events["user_key"] = user_keys(events)
    rows = catalog.rows(events["item_id"].fillna(""))
    speaking = events["type"].isin(PRESENCE).to_numpy() & (rows >= 0)
    owners, names = pd.factorize(events.loc[speaking, "user_key"])
    interactions = Interactions.of(
        users=owners,
        items=rows[speaking],
        times=micros(events.loc[speaking, "event_time"]) / 1e6,
        user_ids=np.asarray(names, object),
        item_count=len(catalog),
    )
    recipe = load_recipe("default")
    recipe = replace(
        recipe,
        sequence=replace(recipe.sequence, epochs=2, refit_epochs=1),
        ranker=replace(recipe.ranker, epochs=3, cases=600),
    )
    fitted = fit_hybrid(
        interactions,
        catalog,
        made.users,
        ReplayProfiles.of_frame(events, catalog),
        EventColumns.of_frame(events),
        recipe,
        seed=1,
    )
    return FittedShop(made.end, catalog, made.users, events, fitted.model)


def _events(rows: pd.DataFrame) -> list[Event]:
    return [
        Event(
            message_id=row.message_id,
            type=row.type,
            event_time=row.event_time.timestamp(),
            received_time=row.received_time.timestamp(),
            user_id=row.user_id,
            session_id=row.session_id,
            item_id=row.item_id or None,
            value=None if pd.isna(row.value) else float(row.value),
        )
        for row in rows.itertuples()
    ]
