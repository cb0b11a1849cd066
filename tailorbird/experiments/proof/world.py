"""The people of a simulated shop as units of tests: what they did in its second half, and in the first."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.experiments.statistics.aggregates import BEFORE, PER, VALUE
from tailorbird.experiments.statistics.frequentist import (
    Comparison,
    Estimate,
    compare_means,
    compare_proportions,
)
from tailorbird.simulator.shop import Shop

PRIMARY = "bought"
METRICS: dict[str, tuple[str, ...]] = {
    PRIMARY: ("bought",),
    "clicks": ("clicks",),
    "clicks, CUPED": ("clicks", "clicks_before"),
    "revenue": ("revenue",),
    "carts/clicks": ("carts", "clicks"),
}
"""The metrics of every trial, with the columns of a world that they need."""
_DAY = 86_400.0
_HALF_DAYS = 30.0


@dataclass(frozen=True)
class World:
    """``people`` of one shop: a number each (n,) of what they bought, clicked, spent and put into the cart."""

    columns: dict[str, np.ndarray]

    @property
    def people(self) -> int:
        """How many there are."""
        return len(self.columns["bought"])

    def drawn(self, rows: np.ndarray) -> "World":
        """The people in ``rows``, as often as they stand there."""
        return World({name: values[rows] for name, values in self.columns.items()})

    def moved(self, lift: float, *, rng: np.random.Generator) -> "World":
        """The same people under a treatment that lifts everything by ``lift``; of those who bought nothing, some do now."""
        columns = {name: values * (1 + lift) for name, values in self.columns.items() if "before" not in name}
        bought = self.columns["bought"]
        chance = lift * bought.mean() / (1 - bought.mean())
        columns["bought"] = np.where((bought == 0) & (rng.random(len(bought)) < chance), 1.0, bought)
        columns["clicks_of_ratio"] = self.columns["clicks"]
        return World(self.columns | columns)

    def columns_of(self, metric: str) -> dict[str, np.ndarray]:
        """The numbers of ``metric`` by their role."""
        if metric == "carts/clicks":  # a treatment that moves both would not move the ratio
            per = self.columns.get("clicks_of_ratio", self.columns["clicks"])
            return {VALUE: self.columns["carts"], PER: per}
        roles = (VALUE, BEFORE)
        return {role: self.columns[name] for role, name in zip(roles, METRICS[metric], strict=False)}

    def truth(self, metric: str) -> float:
        """The mean, or ratio, of all people."""
        columns = self.columns_of(metric)
        return float(columns[VALUE].mean() / (columns[PER].mean() if PER in columns else 1.0))


def world_of(size: int, *, seed: int) -> World:
    """Simulate a shop of ``size`` people for sixty days; who came in none of them is no unit."""
    shop = Shop.make(size, seed)
    events = shop.events()
    late = events["event_time"] >= pd.Timestamp(shop.end - _HALF_DAYS * _DAY, unit="s", tz="UTC")
    units = pd.Index(events["user_id"].unique())

    def count(rows: pd.DataFrame, kind: str) -> np.ndarray:
        found = rows.loc[rows["type"] == kind, "user_id"].value_counts()
        return np.asarray(found.reindex(units, fill_value=0), float)

    bought = events.loc[late & (events["type"] == "purchase")]
    spent = bought.groupby("user_id")["value"].sum().reindex(units, fill_value=0.0)
    return World(
        {
            "bought": (count(events[late], "purchase") > 0).astype(float),
            "clicks": count(events[late], "click"),
            "clicks_before": count(events[~late], "click"),
            "carts": count(events[late], "add_to_cart"),
            "revenue": np.asarray(spent, float),
        }
    )


def compared(metric: str, control: Estimate, treatment: Estimate) -> Comparison:
    """Compare as the metric's kind is."""
    return (compare_proportions if metric == PRIMARY else compare_means)(control, treatment)
