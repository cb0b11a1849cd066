"""How a person answers a slate: looks from the top, clicks what is wanted enough, sometimes buys."""

from collections.abc import Sequence

import numpy as np

from tailorbird.events.schema import Event

PATIENCE = 0.85
"""Chance to look at the next position (the cascade model of Craswell et al., WSDM 2008)."""
PICKY_SHARE = 0.02
"""A user clicks one time in two on an item that is just among this share of what they want most."""


def click_chances(wants: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(k,) chance of a click on each item of a slate, once it is looked at; ``rows`` -1 (unknown item) never."""
    on_sale = wants[np.isfinite(wants)]
    if not len(on_sale):
        return np.zeros(len(rows))
    threshold = np.quantile(on_sale, 1.0 - PICKY_SHARE)
    wanted = np.where(rows >= 0, wants[rows], -np.inf)
    chances: np.ndarray = 1.0 / (1.0 + np.exp(np.clip(-1.5 * (wanted - threshold), -50.0, 50.0)))
    return np.where(np.isfinite(wanted), chances, 0.0)


def react(
    wants: np.ndarray,
    rows: np.ndarray,
    *,
    item_ids: Sequence[str],
    user_id: str,
    now: float,
    rng: np.random.Generator,
    recommendation_id: str | None,
    session_id: str | None,
) -> list[Event]:
    """Events of one user who is shown ``item_ids`` (catalogue ``rows``) and wants each item by ``wants`` (n_items,)."""
    events: list[Event] = []
    instant = now
    looked = rng.random(len(rows))
    chances = click_chances(wants, rows)
    for position, (item_id, chance) in enumerate(zip(item_ids, chances, strict=True)):
        if position and looked[position] > PATIENCE:
            break
        instant += float(rng.uniform(0.5, 4.0))
        if rng.random() >= chance:
            continue
        for kind, likely in (("click", 1.0), ("add_to_cart", 0.3), ("purchase", 0.5)):
            if rng.random() >= likely:
                break
            events.append(
                Event(
                    message_id=f"react-{rng.bytes(12).hex()}",
                    type=kind,
                    event_time=instant,
                    received_time=instant,
                    user_id=user_id,
                    session_id=session_id,
                    item_id=item_id,
                    recommendation_id=recommendation_id,
                    position=position,
                )
            )
            instant += float(rng.uniform(3.0, 30.0))
    return events
