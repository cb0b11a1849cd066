"""Shown slates: what the ranker learns of items that were shown, those that were taken and those that were passed over."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tailorbird.models.ranker.ranker import GROUPS
from tailorbird.models.ranker.slates import Slates


@dataclass(frozen=True)
class ShownSlates(Slates):
    """Slates as they were shown, the items in their places: ``gains`` (m, c) of what followed, ``examined`` (m, c) chances of a look.

    A gain is above 0 of what was taken, 0 of what was passed over, below 0 of what was hidden. A slate of which nothing was
    taken counts like any other. ``outcomes`` (m, c, len(OUTCOMES)) bool are the types of events that followed.
    """

    gains: np.ndarray
    examined: np.ndarray
    outcomes: np.ndarray

    def where(self, mask: np.ndarray) -> "ShownSlates":
        """Keep some of the slates."""
        parts = {
            name: getattr(self, name)[mask] for name in (*GROUPS, "real", "gains", "examined", "outcomes")
        }
        return ShownSlates(**parts)


def shown_loss(scores: Tensor, slates: ShownSlates, *, slope: Tensor, offset: Tensor) -> Tensor:
    """Minus log likelihood of the position-based model, per slate: a click is an item looked at and wanted.

    ``scores`` (m, c) become chances by ``slope`` and ``offset``, for an order alone has none. A gain weighs a click, its size below 0
    one that was unwanted.
    """
    real = torch.from_numpy(slates.real)
    gains = torch.from_numpy(slates.gains)[real]
    examined = torch.from_numpy(slates.examined)[real].clamp(max=1.0 - 1e-4)
    wanted = torch.sigmoid(slope * scores[real] + offset)
    chances = (examined * wanted).clamp(1e-6, 1.0 - 1e-6)
    taken = gains > 0
    weights = torch.where(gains == 0, 1.0, gains.abs())
    # What was hidden was looked at, whatever its place.
    ignored = torch.where(gains < 0, (1.0 - wanted).clamp(min=1e-6), 1.0 - chances)
    loss: Tensor = -(weights * torch.where(taken, chances.log(), ignored.log())).sum() / max(len(slates), 1)
    return loss
