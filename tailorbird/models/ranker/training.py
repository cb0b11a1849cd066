"""How the ranker learns: listwise softmax cross-entropy over slates of which one item was taken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from tailorbird.models.ranker.ranker import GROUPS, Ranker
from tailorbird.recipes.recipe import RankerRecipe

SPREAD_FLOOR = 1e-3
BLEND_RATE = 5.0
"""The blend's learning rate against the correction's: first the sources find their weights."""
BOUND = 5.0
"""Features are held within this many standard deviations of the training mean: serving sees what training did not."""


@dataclass(frozen=True)
class Slates:
    """Training slates, the taken item first: per candidate (m, c, ·) and per slate (m, ·) features; ``real`` (m, c)."""

    signals: np.ndarray
    item: np.ndarray
    cross: np.ndarray
    user: np.ndarray
    context: np.ndarray
    real: np.ndarray

    def __len__(self) -> int:
        return len(self.real)

    def where(self, mask: np.ndarray) -> "Slates":
        """Keep some of the slates."""
        return Slates(*(getattr(self, name)[mask] for name in (*GROUPS, "real")))


def train_ranker(
    slates: Slates,
    *,
    sources: int,
    recipe: RankerRecipe,
    seed: int,
    validation: Slates | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[Ranker, dict[str, list[float]]]:
    """Fit on ``slates``; with ``validation`` (newer ones) keep the best epoch. Returns the ranker and its curves."""
    sizes = {name: getattr(slates, name).shape[-1] for name in GROUPS}
    if not len(slates):
        return Ranker.of_sources(sources, sizes), {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _Net(slates, sources=sources, hidden=recipe.hidden, dropout=recipe.dropout)
        return _fit(net, slates, recipe=recipe, seed=seed, validation=validation, on_epoch=on_epoch)


def kept_epoch(curves: Mapping[str, Sequence[float]]) -> int:
    """Which epoch's weights :func:`train_ranker` kept, from 0: the first with the lowest validation loss, else the last."""
    losses = curves.get("validation_loss", ())
    return int(np.argmin(losses)) if len(losses) else len(curves["loss"]) - 1


def _fit(
    net: "_Net",
    slates: Slates,
    *,
    recipe: RankerRecipe,
    seed: int,
    validation: Slates | None,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> tuple[Ranker, dict[str, list[float]]]:
    rng = np.random.default_rng(seed)
    correction = [parameter for name, parameter in net.named_parameters() if name != "blend"]
    rates = [BLEND_RATE * recipe.learning_rate, recipe.learning_rate]
    groups: list[dict[str, Any]] = [
        {"params": [net.blend], "weight_decay": 0.0},
        {"params": correction, "weight_decay": recipe.weight_decay},
    ]
    optimizer = torch.optim.AdamW(groups)
    batches = max(1, len(slates) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rates, total_steps=recipe.epochs * batches, pct_start=0.2
    )
    curves: dict[str, list[float]] = {"loss": []}
    best, state = np.inf, None
    for epoch in range(1, recipe.epochs + 1):
        net.train()
        losses = []
        for rows in np.array_split(rng.permutation(len(slates)), batches):
            loss = net.loss(slates.where(rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        figures = {"loss": float(np.mean(losses))}
        if validation is not None and len(validation):
            figures.update(net.measure(validation))
            if figures["validation_loss"] < best:
                best = figures["validation_loss"]
                state = {key: value.clone() for key, value in net.state_dict().items()}
        for key, value in figures.items():
            curves.setdefault(key, []).append(value)
        if on_epoch is not None:
            on_epoch(epoch, figures)
    if state is not None:
        net.load_state_dict(state)
    return net.export(), curves


class _Net(nn.Module):
    """The network over standardised features; ``export`` folds the standardisation into the weights."""

    def __init__(self, slates: Slates, *, sources: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.scales: dict[str, tuple[Tensor, Tensor]] = {}
        self.bounds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.weights = nn.ParameterDict()
        sizes = {name: getattr(slates, name).shape[-1] for name in GROUPS}
        fan_in = sum(sizes.values())
        for name in GROUPS:
            values = getattr(slates, name)
            values = values[slates.real] if values.ndim == 3 else values
            mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
            reach = np.where(spread < SPREAD_FLOOR, 0.0, BOUND * spread)
            spread = np.where(spread < SPREAD_FLOOR, np.inf, spread)  # a constant feature says nothing
            self.bounds[name] = ((mean - reach).astype(np.float32), (mean + reach).astype(np.float32))
            self.scales[name] = (
                torch.as_tensor(mean, dtype=torch.float32),
                torch.as_tensor(1.0 / spread, dtype=torch.float32),
            )
            self.weights[name] = nn.Parameter(torch.randn(sizes[name], hidden) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(torch.zeros(hidden))
        blend = torch.zeros(sizes["signals"])
        blend[:sources] = 1.0
        self.blend = nn.Parameter(blend)

    def forward(self, slates: Slates) -> Tensor:
        """(m, c) scores."""
        signals = torch.from_numpy(slates.signals)
        hidden = self.bias + self._part("signals", signals)
        for name in ("item", "cross"):
            hidden = hidden + self._part(name, torch.from_numpy(getattr(slates, name)))
        for name in ("user", "context"):
            hidden = hidden + self._part(name, torch.from_numpy(getattr(slates, name)))[:, None]
        scores: Tensor = signals @ self.blend + self.dropout(F.relu(hidden)) @ self.out
        return scores.masked_fill(~torch.from_numpy(slates.real), -1e9)

    def loss(self, slates: Slates) -> Tensor:
        """Cross-entropy of the taken item, which stands first."""
        scores = self(slates)
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))

    @torch.no_grad()
    def measure(self, slates: Slates) -> dict[str, float]:
        """Loss and NDCG@10 on other slates."""
        self.eval()
        losses, gains = [], []
        for start in range(0, len(slates), 512):
            part = slates.where(np.arange(start, min(start + 512, len(slates))))
            scores = self(part)
            losses.append(
                F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long), reduction="none")
            )
            rank = 1 + (scores[:, 1:] >= scores[:, :1]).sum(1)
            gains.append(torch.where(rank <= 10, 1 / torch.log2(rank + 1.0), 0.0))
        return {
            "validation_loss": float(torch.cat(losses).mean()),
            "validation_ndcg_at_10": float(torch.cat(gains).mean()),
        }

    @torch.no_grad()
    def export(self) -> Ranker:
        """The same function of raw features, in numpy."""
        bias = self.bias.clone()
        weights = {}
        for name in GROUPS:
            mean, scale = self.scales[name]
            weights[f"low.{name}"], weights[f"high.{name}"] = self.bounds[name]
            weights[f"in.{name}"] = (self.weights[name] * scale[:, None]).numpy()
            bias -= (mean * scale) @ self.weights[name]
        return Ranker(
            {
                "blend": self.blend.detach().numpy(),
                "bias": bias.numpy(),
                "out": self.out.detach().numpy(),
                **weights,
            }
        )

    def _part(self, name: str, values: Tensor) -> Tensor:
        mean, scale = self.scales[name]
        low, high = map(torch.from_numpy, self.bounds[name])
        part: Tensor = ((values.clamp(low, high) - mean) * scale) @ self.weights[name]
        return part
