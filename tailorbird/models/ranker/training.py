"""How the ranker learns: listwise softmax cross-entropy over slates of which one item was taken, and of slates as they were shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from tailorbird.models.ranker.heads import with_heads
from tailorbird.models.ranker.ranker import GROUPS, Ranker
from tailorbird.models.ranker.shown import ShownSlates, shown_loss
from tailorbird.models.ranker.slates import Slates
from tailorbird.recipes.recipe import RankerRecipe

SPREAD_FLOOR = 1e-3
BLEND_RATE = 5.0
"""The blend's learning rate against the correction's: first the sources find their weights."""
BOUND = 5.0
"""Features are held within this many standard deviations of the training mean: serving sees what training did not."""


@dataclass(frozen=True)
class Lessons:
    """What a ranker learns from: ``cases`` of which one item was taken, slates as they were ``shown``; either may be none."""

    cases: Slates | None = None
    shown: ShownSlates | None = None
    shown_weight: float = 1.0
    """What a shown slate counts beside 1 for a case."""

    def __len__(self) -> int:
        """How many there are of what there is more of."""
        return max(len(part) for part in (self.cases or (), self.shown or ()))

    @property
    def described(self) -> Slates:
        """What features are like: those of the cases, whose items are all kinds of candidates, where there are any."""
        found = self.cases if self.cases is not None and len(self.cases) else self.shown
        assert found is not None
        return found

    def divided(self, share: float) -> tuple["Lessons", "Lessons"]:
        """The first ``share`` of each, and the others: lessons come oldest first."""
        parts = [
            None if part is None else np.arange(len(part)) < int(share * len(part))
            for part in (self.cases, self.shown)
        ]
        older, newer = (
            Lessons(
                None if self.cases is None or parts[0] is None else self.cases.where(parts[0] == early),
                None if self.shown is None or parts[1] is None else self.shown.where(parts[1] == early),
                self.shown_weight,
            )
            for early in (True, False)
        )
        return older, newer

    def batches(self, count: int, rng: np.random.Generator) -> Iterator["Lessons"]:
        """All of it once, in ``count`` parts that hold some of each."""
        parts = [
            [None] * count if part is None else np.array_split(rng.permutation(len(part)), count)
            for part in (self.cases, self.shown)
        ]
        for of_cases, of_shown in zip(*parts, strict=True):
            yield Lessons(
                None if self.cases is None or of_cases is None else self.cases.where(of_cases),
                None if self.shown is None or of_shown is None else self.shown.where(of_shown),
                self.shown_weight,
            )


def train_ranker(
    slates: Slates | Lessons,
    *,
    sources: int,
    recipe: RankerRecipe,
    seed: int,
    validation: Slates | Lessons | None = None,
    parent: Ranker | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[Ranker, dict[str, list[float]]]:
    """Fit on ``slates``; with ``validation`` (newer ones) keep the best epoch. Returns the ranker and its curves.

    Shown slates also teach its heads, which change nothing of the rest. From a ``parent`` it goes on at half the rate, and is
    never worse than it on ``validation``.
    """
    lessons = slates if isinstance(slates, Lessons) else Lessons(slates)
    newer = validation if isinstance(validation, Lessons) else Lessons(validation)
    if not len(lessons):
        assert lessons.cases is not None
        sizes = {name: getattr(lessons.cases, name).shape[-1] for name in GROUPS}
        return Ranker.of_sources(sources, sizes), {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if parent is not None and parent.trained:
            net = _Net.going_on(parent, lessons.described, sources=sources, dropout=recipe.dropout)
            recipe = replace(recipe, learning_rate=recipe.learning_rate / 2)
        else:
            net = _Net(lessons.described, sources=sources, hidden=recipe.hidden, dropout=recipe.dropout)
        ranker, curves = _fit(net, lessons, recipe=recipe, seed=seed, validation=newer, on_epoch=on_epoch)
    if lessons.shown is not None and len(lessons.shown):
        later = newer.shown if newer.shown is not None and len(newer.shown) else None
        ranker, figures = with_heads(ranker, lessons.shown, newer=later)
        curves |= {name: [value] for name, value in figures.items()}
    return ranker, curves


def kept_epoch(curves: Mapping[str, Sequence[float]]) -> int:
    """Which epoch's weights :func:`train_ranker` kept, from 0: the first with the lowest validation loss, else the last."""
    losses = curves.get("validation_loss", ())
    return int(np.argmin(losses)) if len(losses) else len(curves["loss"]) - 1


def _fit(
    net: "_Net",
    lessons: Lessons,
    *,
    recipe: RankerRecipe,
    seed: int,
    validation: Lessons,
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
    batches = max(1, len(lessons) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rates, total_steps=recipe.epochs * batches, pct_start=0.2
    )
    curves: dict[str, list[float]] = {"loss": []}
    best, state = np.inf, None
    if net.goes_on and len(validation):
        best, state = net.measure(validation)["validation_loss"], copied(net)
    for epoch in range(1, recipe.epochs + 1):
        net.train()
        losses = []
        for part in lessons.batches(batches, rng):
            loss = net.loss(part)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        figures = {"loss": float(np.mean(losses))}
        if len(validation):
            figures.update(net.measure(validation))
            if figures["validation_loss"] < best:
                best = figures["validation_loss"]
                state = copied(net)
        for key, value in figures.items():
            curves.setdefault(key, []).append(value)
        if on_epoch is not None:
            on_epoch(epoch, figures)
    if state is not None:
        net.load_state_dict(state)
    return net.export(), curves


def copied(net: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {key: value.clone() for key, value in net.state_dict().items()}


class _Net(nn.Module):
    """The network over standardised features; ``export`` folds the standardisation into the weights."""

    goes_on = False

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
        self.log_slope, self.offset = nn.Parameter(torch.zeros(())), nn.Parameter(torch.full((), -2.0))
        blend = torch.zeros(sizes["signals"])
        blend[:sources] = 1.0
        self.blend = nn.Parameter(blend)

    @classmethod
    def going_on(cls, ranker: Ranker, slates: Slates, *, sources: int, dropout: float) -> "_Net":
        """The network that ``ranker`` was exported from, with the standardisation that it has learned with."""
        weights = ranker.weights
        net = cls(slates, sources=sources, hidden=len(weights["bias"]), dropout=dropout)
        bias = torch.from_numpy(weights["bias"].copy())
        for name in GROUPS:
            low, high = (weights[f"{side}.{name}"].astype(np.float64) for side in ("low", "high"))
            mean, spread = (low + high) / 2, (high - low) / 2 / BOUND
            scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
            net.bounds[name] = (weights[f"low.{name}"], weights[f"high.{name}"])
            net.scales[name] = (
                torch.as_tensor(mean, dtype=torch.float32),
                torch.as_tensor(scale, dtype=torch.float32),
            )
            raw = torch.from_numpy(weights[f"in.{name}"].copy())
            bias += net.scales[name][0] @ raw
            net.weights[name] = nn.Parameter(raw * torch.as_tensor(spread, dtype=torch.float32)[:, None])
        net.bias, net.out = nn.Parameter(bias), nn.Parameter(torch.from_numpy(weights["out"].copy()))
        net.blend = nn.Parameter(torch.from_numpy(weights["blend"].copy()))
        net.goes_on = True
        return net

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

    def loss(self, lessons: Lessons) -> Tensor:
        """Cross-entropy of the taken items, which stand first, and minus log likelihood of what followed shown slates."""
        losses = []
        if lessons.cases is not None and len(lessons.cases):
            scores = self(lessons.cases)
            losses.append(F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long)))
        if lessons.shown is not None and len(lessons.shown):
            losses.append(lessons.shown_weight * self._shown_loss(lessons.shown))
        return sum(losses[1:], losses[0])

    def _shown_loss(self, slates: ShownSlates) -> Tensor:
        return shown_loss(self(slates), slates, slope=self.log_slope.exp(), offset=self.offset)

    @torch.no_grad()
    def measure(self, lessons: Lessons) -> dict[str, float]:
        """Loss on others, and of cases NDCG@10."""
        self.eval()
        figures = {"validation_loss": 0.0}
        if lessons.cases is not None and len(lessons.cases):
            figures = self._measured(lessons.cases)
        if lessons.shown is not None and len(lessons.shown):
            loss = float(self._shown_loss(lessons.shown))
            figures["validation_shown_loss"] = loss
            figures["validation_loss"] += lessons.shown_weight * loss
        return figures

    def _measured(self, slates: Slates) -> dict[str, float]:
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
