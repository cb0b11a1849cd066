"""Few requests through the sequence network in plain numpy: the same numbers as torch, without its overhead."""

import math
from collections.abc import Callable, Collection, Mapping
from copy import copy

import numpy as np

from tailorbird.events.interactions import Histories
from tailorbird.models.sequence.encoder import EncoderShape, SequenceEncoder
from tailorbird.models.sequence.training import gap_buckets, strength_buckets

Take = Callable[[np.ndarray], np.ndarray]
"""Gives the vectors (c, d) of the items of rows (c,)."""
_NEVER = np.float32(-1e9)


class QuickEncoder:
    """The forward pass of a few histories; the last block computes only what the last position needs.

    ``weights`` are the encoder's by name; ``take`` reads the items' vectors; ``project`` (c, d) makes them of texts.
    """

    def __init__(self, shape: EncoderShape, weights: Mapping[str, np.ndarray], take: Take) -> None:
        self._shape, self.project = shape, weights["project"]
        self._take, self._scale = take, np.float32(math.sqrt(shape.dimensions))
        self._gaps, self._strengths = weights["gaps"], weights["strengths"]
        self._gain = weights["norm.gain"]
        self._blocks = [_block(weights, number, shape.heads) for number in range(shape.blocks)]
        distance = np.maximum(np.subtract.outer(np.arange(shape.history), np.arange(shape.history)), 0)
        later = np.triu(np.full((shape.history, shape.history), -1e9, np.float32), 1)
        for block in self._blocks:
            block["bias"] = block["bias"][:, distance] + later  # (heads, history, history)

    @classmethod
    def of(cls, encoder: SequenceEncoder, take: Take) -> "QuickEncoder":
        """With the weights of ``encoder``, which it shares."""
        weights = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
        return cls(encoder.shape, weights, take)

    def over(self, take: Take) -> "QuickEncoder":
        """The same network for other vectors."""
        fresh = copy(self)
        fresh._take = take
        return fresh

    def encode(self, histories: Collection[Histories]) -> np.ndarray:
        """(b, d) queries of ``b`` histories of one user each, without runs; zero where a history is empty."""
        length = min(self._shape.history, max((len(each.items) for each in histories), default=0))
        if not length:
            return np.zeros((len(histories), self._shape.dimensions), np.float32)
        x = np.zeros((len(histories), length, self._shape.dimensions), np.float32)  # right-aligned
        absent = np.zeros((len(histories), 1, 1, length), np.float32)
        for row, each in enumerate(histories):
            items, times = each.items[-length:], each.times[-length:]
            if len(items):
                gaps = gap_buckets(np.append(times[1:], each.now) - times)
                strengths = strength_buckets(each.weights[-length:])
                told = self._gaps[gaps] + self._strengths[strengths]
                x[row, -len(items) :] = self._take(items) * self._scale + told
            absent[row, ..., : length - len(items)] = _NEVER
        for block in self._blocks[:-1]:
            x = self._forward(x, block, absent, length)
        x = self._forward(x, self._blocks[-1], absent, 1)  # only the last position is asked for
        queries = _norm(x[:, -1], self._gain)
        queries[absent[:, 0, 0, -1] < 0] = 0.0
        return queries

    def _forward(
        self, x: np.ndarray, block: dict[str, np.ndarray], absent: np.ndarray, wanted: int
    ) -> np.ndarray:
        """(b, l, d) ▸ (b, wanted, d), the last ``wanted`` positions."""
        b, length, d = x.shape
        heads = self._shape.heads
        size = d // heads
        normed = _norm(x, block["norm_attention"])
        q = _rows(normed[:, -wanted:], block["query"]).reshape(b, wanted, heads, size).transpose(0, 2, 1, 3)
        kv = _rows(normed, block["key_value"]).reshape(b, length, 2, heads, size)
        logits = q @ kv[:, :, 0].transpose(0, 2, 3, 1)  # (b, heads, wanted, l)
        logits += block["bias"][:, length - wanted : length, :length]
        logits += absent
        logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=-1, keepdims=True)
        mixed = (logits @ kv[:, :, 1].transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3).reshape(b, wanted, d)
        x = x[:, -wanted:] + _rows(mixed, block["merge"])
        inner = _rows(_norm(x, block["norm_forward"]), block["up"])
        inner += block["up_bias"]
        np.maximum(inner, np.float32(0), out=inner)
        inner = _rows(inner, block["down"])
        inner += block["down_bias"]
        inner += x
        return inner


def _rows(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b, l, i) @ (i, o) as one matrix product, which is faster than b small ones."""
    b, length, width = x.shape
    product: np.ndarray = (x.reshape(b * length, width) @ weight).reshape(b, length, -1)
    return product


def _block(weights: Mapping[str, np.ndarray], number: int, heads: int) -> dict[str, np.ndarray]:
    own = {
        name.removeprefix(f"blocks.{number}."): value
        for name, value in weights.items()
        if name.startswith(f"blocks.{number}.")
    }
    d = own["merge.weight"].shape[0]
    joint = own["query_key_value.weight"].T  # (d, 3d)
    return {
        "norm_attention": own["norm_attention.gain"],
        "norm_forward": own["norm_forward.gain"],
        "query": np.ascontiguousarray(joint[:, :d] / np.float32(math.sqrt(d // heads))),
        "key_value": np.ascontiguousarray(joint[:, d:]),
        "merge": np.ascontiguousarray(own["merge.weight"].T),
        "up": np.ascontiguousarray(own["up.weight"].T),
        "up_bias": own["up.bias"],
        "down": np.ascontiguousarray(own["down.weight"].T),
        "down_bias": own["down.bias"],
        "bias": own["bias"],
    }


def _norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    scale = np.vecdot(x, x)  # (..., l)
    scale *= np.float32(1.0 / x.shape[-1])
    scale += np.float32(1e-6)
    normed: np.ndarray = x * (gain / np.sqrt(scale)[..., None])
    return normed
