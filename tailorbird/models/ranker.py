"""The ranker: a linear blend of the sources' signals plus an MLP's correction that knows item, user and context."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import load_file, save_file

GROUPS = ("signals", "item", "cross", "user", "context")
"""Groups of input columns, in the order of the network's first layer."""


@dataclass(frozen=True)
class Inputs:
    """One slate's features: ``signals`` (c, s), ``item`` (c, i), ``cross`` (c, x); ``user`` (u,), ``context`` (t,)."""

    signals: np.ndarray
    item: np.ndarray
    cross: np.ndarray
    user: np.ndarray
    context: np.ndarray


class Ranker:
    """Scores slates in numpy: the weights of :mod:`~tailorbird.models.ranker_training`, standardisation folded in.

    ``blend`` (s,) weighs the signals; the correction is ``out @ relu(sum of group @ weight + bias)``. What is constant
    over a slate (user, context) is multiplied once, what is constant over requests (items) once per refresh.
    """

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights

    @classmethod
    def of_sources(cls, count: int, sizes: dict[str, int]) -> Self:
        """An untrained ranker: the mean of the sources' z-scores."""
        blend = np.zeros(sizes["signals"], np.float32)
        blend[:count] = 1.0 / max(count, 1)
        weights: dict[str, np.ndarray] = {
            f"in.{name}": np.zeros((size, 1), np.float32) for name, size in sizes.items()
        }
        for name, size in sizes.items():
            weights[f"low.{name}"] = weights[f"high.{name}"] = np.zeros(size, np.float32)
        return cls(
            {"blend": blend, "bias": np.zeros(1, np.float32), "out": np.zeros(1, np.float32), **weights}
        )

    @property
    def blend(self) -> np.ndarray:
        """(s,) what the ranker makes of the sources' signals before correction."""
        return self._weights["blend"]

    def item_part(self, items: np.ndarray) -> np.ndarray:
        """(n, hidden) the items' share of the first layer; compute it once per refresh of the item features."""
        part: np.ndarray = self._product("item", items) + self._weights["bias"]
        return part

    def score(
        self,
        signals: np.ndarray,
        item_part: np.ndarray,
        cross: np.ndarray,
        user: np.ndarray,
        context: np.ndarray,
    ) -> np.ndarray:
        """(c,) float32 scores of one slate; ``item_part`` (c, hidden) are the candidates' rows of :meth:`item_part`."""
        w = self._weights
        constant = self._product("user", user) + self._product("context", context)  # (hidden,)
        hidden = self._product("signals", signals)  # (c, hidden)
        hidden += self._product("cross", cross)
        hidden += item_part
        hidden += constant
        np.maximum(hidden, 0.0, out=hidden)
        scores: np.ndarray = signals @ w["blend"] + hidden @ w["out"]
        return scores

    def score_inputs(self, inputs: Inputs) -> np.ndarray:
        """(c,) scores from raw features."""
        return self.score(
            inputs.signals, self.item_part(inputs.item), inputs.cross, inputs.user, inputs.context
        )

    def save(self, folder: Path) -> None:
        """Write ``ranker.safetensors`` and a readable ``blend.json``."""
        save_file(
            {name: np.ascontiguousarray(value) for name, value in self._weights.items()},
            folder / "ranker.safetensors",
        )
        (folder / "blend.json").write_text(json.dumps(self.blend.tolist()), encoding="utf-8")

    def _product(self, name: str, values: np.ndarray) -> np.ndarray:
        w = self._weights
        held = np.minimum(np.maximum(values, w[f"low.{name}"]), w[f"high.{name}"])
        product: np.ndarray = held @ w[f"in.{name}"]
        return product

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        return cls(load_file(folder / "ranker.safetensors"))
