"""The item tower while it learns: of a small catalogue every vector a step, of a large one those that the step needs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tailorbird.models.sequence.encoder import SequenceEncoder

BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Towered:
    """The vectors (m, d) of one step, and the items (b, l) and pool (p,) as rows of them; m stands for padding."""

    vectors: Tensor
    items: Tensor
    pool: Tensor


class Tower(Protocol):
    """Makes item vectors for a step and learns from its gradient."""

    def towered(self, items: Tensor, pool: np.ndarray) -> Towered:
        """The vectors of ``items`` (b, l), padded with n_items, and of ``pool`` (p,) rows, ids dropped at random."""

    def parameters(self) -> list[Tensor]:
        """Whose gradients the step has; their norm is held together."""

    def step(self, factor: float) -> None:
        """Learn, at ``factor`` times the learning rate."""


class WholeTower:
    """Every item's vector, every step; the ids are the encoder's parameter among others."""

    def __init__(self, encoder: SequenceEncoder, text: Tensor, *, id_dropout: float, seed: int) -> None:
        self._encoder, self._text, self._id_dropout = encoder, text, id_dropout
        self._generator = torch.Generator().manual_seed(seed)

    def towered(self, items: Tensor, pool: np.ndarray) -> Towered:
        """All of them."""
        hidden = torch.rand(self._encoder.shape.items, generator=self._generator) < self._id_dropout
        vectors = self._encoder.item_vectors(self._text, hidden_ids=hidden)
        return Towered(vectors, items, torch.from_numpy(pool))

    def parameters(self) -> list[Tensor]:
        """The encoder's optimizer has them."""
        return [self._encoder.ids]

    def step(self, factor: float) -> None:
        """Nothing is left to do."""


class SparseTower:
    """The rows that a step touches: gradient, moments and update of no others (lazy Adam).

    Ids do not decay here: decay would have to touch every row at every step.
    """

    def __init__(
        self, encoder: SequenceEncoder, text: Tensor, *, id_dropout: float, learning_rate: float, seed: int
    ) -> None:
        self._encoder, self._text, self._id_dropout = encoder, text, id_dropout
        self._generator = torch.Generator().manual_seed(seed)
        self._rate = learning_rate
        self._optimizer = torch.optim.SparseAdam([encoder.ids], lr=learning_rate, betas=BETAS)
        self._rows, self._ids = torch.zeros(0, dtype=torch.int64), torch.zeros(0)

    def towered(self, items: Tensor, pool: np.ndarray) -> Towered:
        """The vectors of the batch and of what it is compared with."""
        flat = items.numpy().ravel()
        count = self._encoder.shape.items
        rows, inverse = np.unique(np.concatenate([flat, pool]), return_inverse=True)
        if len(rows) and rows[-1] == count:  # the padding comes last, as m
            rows = rows[:-1]
        self._rows = torch.from_numpy(rows)
        self._ids = self._encoder.ids.detach()[self._rows].requires_grad_()
        kept = torch.rand(len(rows), generator=self._generator) >= self._id_dropout
        vectors = self._ids * kept[:, None] + self._text[self._rows] @ self._encoder.project
        places = torch.from_numpy(inverse.astype(np.int64))
        return Towered(vectors, places[: len(flat)].view(items.shape), places[len(flat) :])

    def parameters(self) -> list[Tensor]:
        """The ids of the step's items."""
        return [self._ids]

    def step(self, factor: float) -> None:
        """Move the ids of the step's items."""
        ids = self._encoder.ids
        assert self._ids.grad is not None
        ids.grad = torch.sparse_coo_tensor(
            self._rows[None], self._ids.grad, ids.shape, is_coalesced=True, check_invariants=False
        )
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * factor
        self._optimizer.step()
        ids.grad = None
