"""Histories of people who behave in three ways that nobody could take for each other."""

import numpy as np

from tailorbird.features.history.records import RECORD
from tailorbird.features.history.sums import TYPE_CODE

DAY_US = 86_400_000_000
START = 20_000 * DAY_US
NAN = np.array([np.nan] * 3)


def history(kind: int, rng: np.random.Generator, *, visits: int = 8, start: int = START) -> np.ndarray:
    """One person's: 0 looks at night, 1 buys in the morning, 2 abandons carts in the evening; a visit a day."""
    rows = []
    for visit in range(visits):
        clock = start + visit * DAY_US + int((2 + 8 * kind + rng.uniform(0, 1)) * 3.6e9)
        for _ in range(rng.integers(3, 7)):
            deeds = ["view", *(["add_to_cart"] if kind and rng.random() < 0.7 else [])]
            deeds += ["purchase"] if kind == 1 and len(deeds) == 2 and rng.random() < 0.9 else []
            item = int(rng.integers(1, 1_000))
            for deed in deeds:
                clock += int(rng.uniform(20e6, 60e6))
                rows.append((clock, len(rows) + 1, item, visit + 1, TYPE_CODE[deed]))
    made = np.zeros(len(rows), RECORD)
    for name, values in zip(
        ("time", "message", "item", "session", "type"), zip(*rows, strict=True), strict=True
    ):
        made[name] = values
    made["value"], made["kept"], made["log_price"] = np.nan, 1, 2.0 + kind + rng.normal(0, 0.2, len(rows))
    made["setting"] = 1 + (kind == 0)
    return made


def crowd(people: int = 150, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Histories and the kinds behind them."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(3, size=people)
    return [history(int(kind), rng) for kind in kinds], kinds
