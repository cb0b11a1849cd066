"""One request through the sequence network in plain numpy: the same numbers as torch, without its overhead."""

import math

import numpy as np

from tailorbird.interactions import Histories
from tailorbird.models.encoder import SequenceEncoder
from tailorbird.models.sequence_training import gap_buckets, strength_buckets


class QuickEncoder:
    """The forward pass of one history; the last block computes only what the last position needs."""

    def __init__(self, encoder: SequenceEncoder, vectors: np.ndarray) -> None:
        shape = encoder.shape
        self._shape = shape
        self._items = vectors * np.float32(math.sqrt(shape.dimensions))  # (n_items, d)
        weights = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
        self._gaps, self._strengths = weights["gaps"], weights["strengths"]
        self._gain = weights["norm.gain"]
        self._blocks = [_block(weights, number, shape.heads) for number in range(shape.blocks)]
        distance = np.maximum(np.subtract.outer(np.arange(shape.history), np.arange(shape.history)), 0)
        later = np.triu(np.full((shape.history, shape.history), -1e9, np.float32), 1)
        for block in self._blocks:
            block["bias"] = block["bias"][:, distance] + later  # (heads, history, history)

    def encode(self, histories: Histories) -> np.ndarray:
        """(1, d) query of one history without runs; zero where it is empty."""
        length = self._shape.history
        items, times = histories.items[-length:], histories.times[-length:]
        if not len(items):
            return np.zeros((1, self._shape.dimensions), np.float32)
        gaps = gap_buckets(np.append(times[1:], histories.now) - times)
        strengths = strength_buckets(histories.weights[-length:])
        x = self._items[items] + self._gaps[gaps] + self._strengths[strengths]  # (l, d)
        for block in self._blocks[:-1]:
            x = self._forward(x, block, len(x))
        x = self._forward(x, self._blocks[-1], 1)  # only the last position is asked for
        return _norm(x, self._gain)

    def _forward(self, x: np.ndarray, block: dict[str, np.ndarray], wanted: int) -> np.ndarray:
        length, d = x.shape
        heads = self._shape.heads
        size = d // heads
        normed = _norm(x, block["norm_attention"])
        q = (normed[-wanted:] @ block["query"]).reshape(wanted, heads, size).transpose(1, 0, 2)
        kv = (normed @ block["key_value"]).reshape(length, 2, heads, size)
        logits = q @ kv[:, 0].transpose(1, 2, 0)  # (heads, wanted, l)
        logits += block["bias"][:, length - wanted : length, :length]
        logits -= logits.max(axis=-1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=-1, keepdims=True)
        mixed = (logits @ kv[:, 1].transpose(1, 0, 2)).transpose(1, 0, 2).reshape(wanted, d)
        x = x[-wanted:] + mixed @ block["merge"]
        inner = _norm(x, block["norm_forward"]) @ block["up"]
        inner += block["up_bias"]
        np.maximum(inner, np.float32(0), out=inner)
        inner = inner @ block["down"]
        inner += block["down_bias"]
        return x + inner


def _block(weights: dict[str, np.ndarray], number: int, heads: int) -> dict[str, np.ndarray]:
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
    scale = np.vecdot(x, x)  # (l,)
    scale *= np.float32(1.0 / x.shape[1])
    scale += np.float32(1e-6)
    normed: np.ndarray = x * (gain / np.sqrt(scale)[:, None])
    return normed
