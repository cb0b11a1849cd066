"""Tables as a mapping would read them, from a few rows."""

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.events.schema import SCHEMA
from tailorbird.ingest.sources import Tables


def tables(rows: list[tuple[str, str, str, float]], *, ordered_only: bool = False) -> Tables:
    """Rows are (user, type, item, time in seconds)."""
    users, types, items, seconds = zip(*rows, strict=True)
    times = pd.to_datetime(np.array(seconds, float), unit="s", utc=True).astype("datetime64[us, UTC]")
    events = pd.DataFrame(
        {
            "message_id": [f"m{row}" for row in range(len(rows))],
            "type": types,
            "user_id": users,
            "item_id": items,
            "event_time": times,
            "received_time": times,
        }
    ).reindex(columns=SCHEMA.names)
    known = sorted({item for item in items if item})
    return Tables(
        events=events,
        items=Catalog.of_ids(known),
        users=Users.from_frame(pd.DataFrame({"user_id": []})),
        ordered_only=ordered_only,
    )
