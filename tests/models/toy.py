"""A toy world with a known answer: two shelves, each user loves one, and items follow each other in a ring."""

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.events.schema import id_of
from tailorbird.models.allowed import Allowed
from tailorbird.models.base import Retriever
from tailorbird.models.retrievers.recency import without_runs

SHELF = 6
ITEMS = 2 * SHELF + 1  # the last one is new: described, but never touched
COLD = ITEMS - 1
START = 1_700_000_000.0


def catalog() -> Catalog:
    words = ["tent rope hiking mountain", "piano violin music concert"]
    rows = [
        {
            "item_id": f"item-{row}",
            "title": f"thing{row}",
            "text": words[row // SHELF],
            "categories": ["outdoor", "music"][row // SHELF],
            "price": 10.0 + row,
        }
        for row in range(2 * SHELF)
    ]
    rows.append(
        {"item_id": "item-new", "title": "fresh", "text": words[1], "categories": "music", "price": 9.0}
    )
    return Catalog.from_frame(pd.DataFrame(rows))


def interactions(*, users: int = 40, events: int = 24, seed: int = 0) -> Interactions:
    """User u walks the ring of shelf u % 2: after item i comes item i + 1."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(users), events)
    first = np.repeat(rng.integers(SHELF, size=users), events)
    steps = np.tile(np.arange(events), users)
    items = (owners % 2) * SHELF + (first + steps) % SHELF
    return Interactions.of(
        users=owners,
        items=items,
        times=START + steps * 60.0 + owners * 1e-3,
        user_ids=np.array([f"user:user-{u}" for u in range(users)], dtype=object),
        item_count=ITEMS,
    )


def people(users: int = 40) -> Users:
    return Users.from_frame(
        pd.DataFrame(
            {
                "user_id": [f"user-{u}" for u in range(users)],
                "age": [30.0] * users,
                "gender": ["fm"[u % 2] for u in range(users)],
            }
        )
    )


def events(data: Interactions) -> pd.DataFrame:
    """The same events as an event log's frame."""
    ids, n = catalog().item_ids, len(data)
    when = pd.to_datetime(np.rint(data.times * 1e6).astype(np.int64), unit="us", utc=True)
    frame = pd.DataFrame(
        {
            "message_id": [f"m-{row}" for row in range(n)],
            "type": "click",
            "user_id": [id_of(key) for key in data.user_ids[data.users]],
            "anonymous_id": None,
            "session_id": None,
            "item_id": ids[data.items],
            "recommendation_id": None,
            "position": None,
            "value": np.nan,
            "event_time": when,
            "received_time": when,
            "context": None,
            "properties": None,
            "user_key": data.user_ids[data.users],
        }
    )
    return frame.sort_values("event_time", kind="stable").reset_index(drop=True)


def asking(*sequences: list[int], segments: list[str] | None = None) -> Histories:
    return Histories.of(sequences, now=START + 1e5, segments=segments)


def best_of(retriever: Retriever, histories: Histories, k: int) -> list[list[int]]:
    """What a retriever proposes to each history, best first."""
    asked = retriever.ask([without_runs(histories[row : row + 1]) for row in range(len(histories))])
    return [each.best(k, Allowed.all_but(ITEMS)).tolist() for each in asked]
