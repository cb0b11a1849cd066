"""Heads: what each type of event that may follow a shown item says of it, learned over what the ranker reads already.

A head is a logistic regression of one outcome on the ranker's score, signals and hidden units, which stay as they are: heads
cost training seconds and an answer nothing, for a weighted sum of them is a ranker of the same shape
(:meth:`~tailorbird.models.ranker.ranker.Ranker.weighed`). Where people look is accounted for as in the ranker's own loss: an
outcome is an item looked at and wanted so (the position-based model; Craswell et al., WSDM 2008).
"""

import numpy as np
import torch
from torch import Tensor

from tailorbird.exposures.outcomes import OUTCOMES
from tailorbird.models.ranker.ranker import GROUPS, Head, Inputs, Ranker
from tailorbird.models.ranker.shown import ShownSlates

SCORE = OUTCOMES[0]
"""The outcome that the ranker's own score foretells: its head is no more than a scale."""
FEWEST = 30
"""Outcomes of a type without which it gets no head."""
PENALTIES = (10.0, 100.0, 1_000.0, 10_000.0)
"""What a head pays for leaving the ranker's score, half of it times the squared weights of standardised features."""
STEPS = 60
MOST_SLATES = 20_000
"""The newest so many teach heads: more weights than these have to find would cost minutes and say nothing new."""


def with_heads(
    ranker: Ranker, shown: ShownSlates, *, newer: ShownSlates | None = None
) -> tuple[Ranker, dict[str, float]]:
    """The ranker with a head for each outcome that ``shown`` has often enough, and figures of the heads.

    A head's penalty is the one with the best likelihood of the ``newer`` slates, the largest where there are none. A figure
    ``head_gain.OUTCOME`` is the share of that loss, of a head that knows places alone, that it spares.
    """
    shown = shown.where(np.arange(len(shown)) >= len(shown) - MOST_SLATES)
    lessons, others = _Rows.of(ranker, shown), None if newer is None else _Rows.of(ranker, newer)
    heads: dict[str, Head] = {}
    figures: dict[str, float] = {}
    for column, outcome in enumerate(OUTCOMES):
        if lessons.outcomes[:, column].sum() < FEWEST:
            continue
        fits = [
            _fitted(lessons, column, alone=outcome == SCORE, penalty=penalty)
            for penalty in (PENALTIES if others is not None and outcome != SCORE else PENALTIES[-1:])
        ]
        losses = [0.0] if others is None else [float(_loss(others, column, *fit)) for fit in fits]
        best = int(np.argmin(losses))
        heads[outcome] = _folded(ranker, fits[best][0])
        if others is not None:
            plain = float(_loss(others, column, *_fitted(lessons, column, alone=True, penalty=np.inf)))
            figures[f"head_gain.{outcome}"] = 1.0 - losses[best] / plain if plain > 0 else 0.0
    return ranker.with_heads(heads), figures


class _Rows:
    """Shown items, one a row: standardised ``features`` (n, 1 + s + h), ``examined`` (n,) and ``outcomes`` (n, len(OUTCOMES))."""

    def __init__(
        self, features: np.ndarray, examined: np.ndarray, outcomes: np.ndarray, scale: np.ndarray
    ) -> None:
        self.features = torch.as_tensor(features, dtype=torch.float64)
        self.examined = torch.as_tensor(examined, dtype=torch.float64).clamp(max=1.0 - 1e-4)
        self.outcomes = outcomes
        self.scale = scale

    @classmethod
    def of(cls, ranker: Ranker, shown: ShownSlates) -> "_Rows":
        parts = [
            ranker.read(Inputs(*(getattr(shown, name)[at] for name in GROUPS)))[shown.real[at]]
            for at in range(len(shown))
        ]
        features = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 1))
        spread = features.std(axis=0) if len(features) else np.ones(features.shape[1])
        scale = np.where(
            spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0
        )  # what never changes says nothing
        return cls(features, shown.examined[shown.real], shown.outcomes[shown.real], scale)


_Fit = tuple[Tensor, Tensor]
"""Weights (1 + s + h,) of raw features, and an offset."""


def _fitted(rows: _Rows, column: int, *, alone: bool, penalty: float) -> _Fit:
    """The head of one outcome; ``alone``: of the score and nothing else, or, at an endless penalty, of nothing at all."""
    width = rows.features.shape[1]
    scale = torch.as_tensor(rows.scale)
    free = torch.zeros(width, dtype=torch.float64)
    free[: 1 if alone else width] = 0.0 if penalty == np.inf else 1.0
    dear = torch.full((width,), 0.0 if penalty == np.inf else penalty, dtype=torch.float64)
    dear[0] = 0.0  # to follow the score is free
    weights = torch.zeros(width, dtype=torch.float64, requires_grad=True)
    offset = torch.full((), -3.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, offset], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        paid = 0.5 * (dear * weights**2).sum()
        loss = (_loss(rows, column, weights * free * scale, offset) + paid) / max(len(rows.features), 1)
        loss.backward()
        return loss

    optimizer.step(closure)
    return (weights * free * scale).detach(), offset.detach()


def _loss(rows: _Rows, column: int, weights: Tensor, offset: Tensor) -> Tensor:
    """Minus log likelihood of one outcome of all rows."""
    happened = torch.as_tensor(rows.outcomes[:, column])
    chances = (rows.examined * torch.sigmoid(rows.features @ weights + offset)).clamp(1e-9, 1.0 - 1e-9)
    loss: Tensor = -torch.where(happened, chances.log(), (1.0 - chances).log()).sum()
    return loss


def _folded(ranker: Ranker, weights: Tensor) -> Head:
    """The head as weights of signals and hidden units, of which the score is a sum itself; an offset orders nothing."""
    signals = len(ranker.blend)
    found = weights.numpy()
    blend = found[1 : 1 + signals] + found[0] * ranker.blend
    out = found[1 + signals :] + found[0] * ranker.out
    return Head(blend.astype(np.float32), out.astype(np.float32))
