"""A shop until today as everybody knows it, and the days to come, in which people visit as they would and answer what they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.rows import EVENTS, table_of_frame
from tailorbird.events.schema import Event
from tailorbird.features.demographics import Demographics, demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.simulator.reaction import PATIENCE, click_chances, react
from tailorbird.simulator.shop import Shop

DAY = 86_400.0


@dataclass(frozen=True)
class Request:
    """Somebody looks at a page at ``now`` (epoch seconds): in a step of an own visit, with an intent that nobody told."""

    number: int
    user_id: str
    now: float
    device: str


@dataclass(frozen=True)
class ClosedShop:
    """A shop until ``start`` as everybody knows it, and the days after it, in which people visit as they would and are shown slates."""

    shop: Shop
    start: float
    days: int
    people: dict[str, Demographics]
    facts: ItemFacts
    before: pd.DataFrame
    """Events before ``start``, as the log's frame."""
    after: tuple[Event, ...]
    """What people do of themselves from then on, by time."""
    requests: tuple[tuple[Request, ...], ...]
    """Day by day, by time."""

    @classmethod
    def make(cls, size: int, *, seed: int, days: int) -> "ClosedShop":
        """The last ``days`` days of a shop are to come."""
        shop = Shop.make(size, seed)
        start = shop.end - days * DAY
        table = table_of_frame(shop.events())
        frame = table.to_pandas()
        early = frame["event_time"] < pd.Timestamp(start, unit="s", tz="UTC")
        later = table.filter(~early.to_numpy())
        return cls(
            shop=shop,
            start=start,
            days=days,
            people=demographics_of(shop.users),
            facts=ItemFacts.of(shop.catalog),
            before=frame[early],
            after=tuple(
                sorted(map(EVENTS.from_row, EVENTS.rows_of_table(later)), key=lambda event: event.event_time)
            ),
            requests=tuple(_requests(shop, start + day * DAY) for day in range(days)),
        )

    @property
    def catalog(self) -> Catalog:
        """The items."""
        return self.shop.catalog

    def answers(
        self, request: Request, items: Sequence[str], *, recommendation_id: str
    ) -> tuple[list[Event], float]:
        """How a person answers a slate, and the clicks to expect of it, all chance averaged out.

        The same chance meets whatever is shown at a request. People look on from each place with PATIENCE.
        """
        wants = self.shop.preferences([request.user_id], request.now)[0]
        rows = self.catalog.rows(items).astype(np.int64)
        events = react(
            wants,
            rows,
            item_ids=items,
            user_id=request.user_id,
            now=request.now,
            rng=np.random.default_rng([self.shop.seed, request.number]),
            recommendation_id=recommendation_id,
            session_id=None,
        )
        return events, float(click_chances(wants, rows) @ PATIENCE ** np.arange(len(items)))


def impressions(items: Sequence[str], request: Request, *, recommendation_id: str) -> list[Event]:
    """What a page tells of a slate: each of its items was there to be seen, whoever looked."""
    return [
        Event(
            message_id=f"{recommendation_id}-{place}",
            type="impression",
            event_time=request.now,
            received_time=request.now,
            user_id=request.user_id,
            item_id=item_id,
            recommendation_id=recommendation_id,
            position=place,
        )
        for place, item_id in enumerate(items)
    ]


def _requests(shop: Shop, since: float) -> tuple[Request, ...]:
    """A page at the beginning of every step of the visits of one day."""
    visits = shop.visits
    starts = visits.step_from / 1e6
    (steps,) = np.nonzero((starts >= since) & (starts < since + DAY))
    steps = steps[np.argsort(starts[steps], kind="stable")]
    ids = shop.users.users["user_id"].to_numpy(object)
    return tuple(
        Request(
            int(step),
            str(ids[visits.step_user[step]]),
            float(starts[step]) + 1e-3,
            "mobile" if visits.step_mobile[step] else "desktop",
        )
        for step in steps.tolist()
    )
