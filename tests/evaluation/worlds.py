"""Toy worlds whose right answers are obvious, and cases made of them."""

import numpy as np

from tailorbird.evaluation.cases import Cases
from tailorbird.events.interactions import Interactions


def interactions(sequences: list[list[tuple[int, float]]], *, items: int) -> Interactions:
    """One user a sequence of (item, time)."""
    flat = [(user, item, time) for user, events in enumerate(sequences) for item, time in events]
    users, rows, times = (np.array(column) for column in zip(*flat, strict=True))
    return Interactions.of(
        users=users,
        items=rows,
        times=times,
        user_ids=np.array([f"u{user}" for user in range(len(sequences))]),
        item_count=items,
    )


def last_item_cases(sequences: list[list[int]], *, items: int, exclude_seen: bool = False) -> Cases:
    """Ask for the last item of each sequence."""
    known = interactions([[(item, float(t)) for t, item in enumerate(s)] for s in sequences], items=items)
    return Cases.of_rows(known, known.indptr[1:] - 1, exclude_seen=exclude_seen)
