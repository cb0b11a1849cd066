"""A small shop with a known answer, and a random week of it with sessions, late arrivals and all event types."""

import numpy as np
import orjson
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.columns import EventColumns
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items.items import ItemTable

DAY = 86_400.0
NOON = 1_750_000_000.0

CATALOG = Catalog.from_frame(
    pd.DataFrame(
        {
            "item_id": ["kettle", "teapot", "drill", "saw", "novel"],
            "categories": [["home", "kitchen"], ["home", "kitchen"], ["tools"], ["tools"], ["books"]],
            "brand": ["acme", "brew", "acme", "", "penguin"],
            "price": [30.0, 20.0, 90.0, 15.0, np.nan],
            "stock": [3, 0, 5, np.nan, 9],
            "launched_at": [NOON - 100 * DAY, NOON - 3 * DAY, np.nan, np.nan, np.nan],
        }
    )
)
FACTS = ItemFacts.of(CATALOG)


def event(message_id: str, type_: str, item_id: str | None, time: float, **rest: object) -> Event:
    """An event of user ann."""
    fields = {"user_id": "ann", "session_id": "s1", **rest}
    return Event(
        message_id=message_id, type=type_, item_id=item_id, event_time=time, received_time=time, **fields
    )


def frame(events: list[Event]) -> pd.DataFrame:
    """Events as the frame that read_log gives, sorted by event_time, then offset."""
    table = pd.DataFrame(
        {
            "message_id": [e.message_id for e in events],
            "user_id": [e.user_id for e in events],
            "anonymous_id": [e.anonymous_id for e in events],
            "type": [e.type for e in events],
            "session_id": [e.session_id for e in events],
            "item_id": [e.item_id for e in events],
            "value": [np.nan if e.value is None else e.value for e in events],
            "event_time": pd.to_datetime([round(e.event_time * 1e6) for e in events], unit="us", utc=True),
            "received_time": pd.to_datetime(
                [round(e.received_time * 1e6) for e in events], unit="us", utc=True
            ),
            "context": [orjson.dumps(e.context).decode() if e.context else None for e in events],
            "user_key": [e.user_key for e in events],
            "offset": np.arange(1, len(events) + 1),
        }
    )
    return table.sort_values(["event_time", "offset"], kind="stable", ignore_index=True)


def item_table(catalog: Catalog, events: pd.DataFrame, now: float) -> ItemTable:
    """The items at an instant, after a log's frame."""
    return ItemTable.build(catalog, EventColumns.of_frame(events), now)


TYPES = ["impression", "view", "view", "click", "search", "add_to_cart", "purchase", "rating", "like", "hide"]


def random_shop(
    *, users: int, items: int, events: int, days: float, seed: int
) -> tuple[Catalog, list[Event]]:
    """A catalogue and events in arrival order: most arrive in the order they happen, a tenth up to days late."""
    rng = np.random.default_rng(seed)
    catalog = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [f"i{n}" for n in range(items)],
                "categories": [[f"c{n % 4}", f"c{n % 4}/{n % 9}"] for n in range(items)],
                "brand": [f"b{n % 7}" if n % 5 else "" for n in range(items)],
                "price": np.where(rng.random(items) < 0.9, rng.lognormal(3, 1, items), np.nan),
            }
        )
    )
    times = np.sort(rng.uniform(NOON, NOON + days * DAY, events))
    arrival = times + np.where(rng.random(events) < 0.1, rng.uniform(0, 3 * DAY, events), 0.0)
    made = []
    for n in range(events):
        user, type_ = int(rng.zipf(1.4)) % users, TYPES[rng.integers(len(TYPES))]
        made.append(
            Event(
                message_id=f"m{seed}-{n}",
                type="hover" if rng.random() < 0.05 else type_,
                event_time=round(float(times[n]), 6),
                received_time=round(float(arrival[n]), 6),
                user_id=f"u{user}" if user % 4 else None,
                anonymous_id=None if user % 4 else f"a{user}",
                session_id=f"s{user}-{int(times[n] // 3600)}" if rng.random() < 0.9 else None,
                item_id=None
                if type_ == "search"
                else f"i{rng.integers(items)}"
                if rng.random() < 0.97
                else "gone",
                value=float(rng.integers(1, 6)) if type_ == "rating" else None,
            )
        )
    return catalog, [made[n] for n in np.argsort(arrival, kind="stable")]
