"""The ranker: a linear blend of the sources' signals plus an MLP's correction that knows item, user and context."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from tailorbird.plumbing.compiled import compiled

GROUPS = ("signals", "item", "cross", "user", "context")
"""Groups of input columns, in the order of the network's first layer."""
_HEAD = "head."


@dataclass(frozen=True)
class Inputs:
    """One slate's features: ``signals`` (c, s), ``item`` (c, i), ``cross`` (c, x); ``user`` (u,), ``context`` (t,)."""

    signals: np.ndarray
    item: np.ndarray
    cross: np.ndarray
    user: np.ndarray
    context: np.ndarray


class Head(NamedTuple):
    """What one outcome is foretold by: ``blend`` (s,) of the signals, ``out`` (hidden,) of the hidden units; their sum is log odds."""

    blend: np.ndarray
    out: np.ndarray


class Ranker:
    """Scores slates in numpy: the weights of :mod:`~tailorbird.models.ranker.training`, standardisation folded in.

    ``blend`` (s,) weighs the signals; the correction is ``out @ relu(sum of group @ weight + bias)``. What is constant
    over a slate (user, context) is multiplied once, what is constant over requests (items) once per refresh. ``heads``, where there
    are any, say of the same signals and hidden units how likely each outcome is (:mod:`~tailorbird.models.ranker.heads`).
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

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Everything that it knows, by name; not to be changed."""
        return self._weights

    @property
    def out(self) -> np.ndarray:
        """(hidden,) what the ranker makes of its hidden units."""
        return self._weights["out"]

    @property
    def heads(self) -> dict[str, Head]:
        """By outcome."""
        names = [
            name.split(".")[1] for name in self._weights if name.startswith(_HEAD) and name.endswith(".out")
        ]
        return {
            name: Head(self._weights[f"{_HEAD}{name}.blend"], self._weights[f"{_HEAD}{name}.out"])
            for name in sorted(names)
        }

    def with_heads(self, heads: Mapping[str, Head]) -> Self:
        """The same ranker with these heads."""
        weights = {name: value for name, value in self._weights.items() if not name.startswith(_HEAD)}
        for name, head in heads.items():
            weights |= {f"{_HEAD}{name}.{part}": value for part, value in head._asdict().items()}
        return type(self)(weights)

    def weighed(self, weights: Mapping[str, float]) -> Self:
        """The ranker that orders by the sum of its heads' log odds, each times its weight; unknown heads count nothing.

        Sums of log odds, of outcomes that are rare, order as chances to the powers of the weights do. The same ranker where it
        has none of the heads.
        """
        heads = self.heads
        known = {name: weight for name, weight in weights.items() if name in heads}
        if not any(known.values()):
            return self
        blend, out = (
            sum(
                (weight * getattr(heads[name], part) for name, weight in known.items()),
                np.zeros_like(self._weights[part]),
            )
            for part in Head._fields
        )
        return type(self)({**self._weights, "blend": blend.astype(np.float32), "out": out.astype(np.float32)})

    @property
    def trained(self) -> bool:
        """Whether it has learned; :meth:`of_sources` has not."""
        return bool(self._weights["out"].any())

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
        return _scores(
            signals,
            cross,
            item_part,
            constant,
            w["blend"],
            (w["in.signals"], w["low.signals"], w["high.signals"]),
            (w["in.cross"], w["low.cross"], w["high.cross"]),
            w["out"],
        )

    def score_inputs(self, inputs: Inputs) -> np.ndarray:
        """(c,) scores from raw features."""
        return self.score(
            inputs.signals, self.item_part(inputs.item), inputs.cross, inputs.user, inputs.context
        )

    def read(self, inputs: Inputs) -> np.ndarray:
        """(c, 1 + s + hidden) what heads are made of: the score of each candidate, its signals and its hidden units."""
        constant = self._product("user", inputs.user) + self._product("context", inputs.context)
        hidden = self.item_part(inputs.item) + constant
        hidden = hidden + self._product("signals", inputs.signals) + self._product("cross", inputs.cross)
        hidden = np.maximum(hidden, 0.0)
        score = inputs.signals @ self.blend + hidden @ self.out
        return np.concatenate([score[:, None], inputs.signals, hidden], axis=1)

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


@compiled
def _scores(
    signals: np.ndarray,
    cross: np.ndarray,
    item_part: np.ndarray,
    constant: np.ndarray,
    blend: np.ndarray,
    of_signals: tuple[np.ndarray, np.ndarray, np.ndarray],
    of_cross: tuple[np.ndarray, np.ndarray, np.ndarray],
    out: np.ndarray,
) -> np.ndarray:
    """The network over all candidates: two products, and what lies between them without a temporary array each."""
    hidden = np.dot(_held(signals, of_signals[1], of_signals[2]), of_signals[0])  # (c, hidden)
    hidden += np.dot(_held(cross, of_cross[1], of_cross[2]), of_cross[0])
    for place in range(len(hidden)):
        for unit in range(len(constant)):
            activated = hidden[place, unit] + item_part[place, unit] + constant[unit]
            hidden[place, unit] = max(activated, np.float32(0.0))
    scores = np.dot(hidden, out)
    scores += np.dot(signals, blend)
    return scores


@compiled
def _held(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(c, m) ``values`` held between ``low`` and ``high`` (m,)."""
    held = np.empty_like(values)
    for place in range(len(values)):
        for column in range(len(low)):
            held[place, column] = min(max(values[place, column], low[column]), high[column])
    return held
