"""A clock for data that has an order but no times: sequences end together, or sessions follow one another."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tailorbird.events.rows import user_keys
from tailorbird.ingest.sources import ORDER_EPOCH, Tables

STEP_SECONDS = 60.0
"""Between two events of data that has only an order: the last 15 events fill the live window of 15 minutes."""


def ending_together(tables: Tables) -> Tables:
    """Give data without times a clock on which all sequences end together, a minute a step.

    So the newest events of the clock are the newest of every user, and a model can be trained out of time.
    """
    events = tables.events
    users = user_keys(events)
    place = events.groupby(users)["event_time"].rank(method="first")
    left = (place.groupby(users).transform("max") - place).to_numpy()
    return _clocked(tables, (left.max(initial=0.0) - left) * STEP_SECONDS)


def one_after_another(tables: Tables) -> Tables:
    """Give sessions without times a clock on which each begins a minute after the one before it in the file."""
    events = tables.events
    users = user_keys(events)
    place = events.groupby(users)["event_time"].rank(method="first").to_numpy()
    session = pd.factorize(users)[0]
    return _clocked(tables, session * STEP_SECONDS + place * STEP_SECONDS / 6)


def _clocked(tables: Tables, seconds: np.ndarray) -> Tables:
    times = pd.to_datetime(seconds + ORDER_EPOCH.timestamp(), unit="s", utc=True).astype(
        "datetime64[us, UTC]"
    )
    return replace(tables, events=tables.events.assign(event_time=times, received_time=times))
