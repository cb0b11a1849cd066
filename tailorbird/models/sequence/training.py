"""How the sequence network learns: windows of histories, all positions at once, early stopping on newer cases."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.sequence.encoder import GAP_BUCKETS, STRENGTH_BUCKETS, SequenceEncoder, softmax_loss
from tailorbird.models.sequence.tower import BETAS, SparseTower, Tower, WholeTower
from tailorbird.recipes.recipe import SequenceRecipe

FULL_SOFTMAX_UP_TO = 20_000
SAMPLED = 2_048
SCORES_AT_ONCE = 20_000_000
"""Scores of validation cases that are held at a time."""

EpochReport = Callable[[int, dict[str, float]], None]
"""Called after each epoch with its number from 1 and its figures; may raise to stop the training."""


@dataclass(frozen=True)
class Windows:
    """Stretches of users' events: ``starts[i]:ends[i]`` are inputs, the event after each input is its target."""

    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Validation:
    """Newer events, with what the user had done until then; with ``exclude_seen`` nothing of that is answered again."""

    histories: Histories
    targets: np.ndarray
    exclude_seen: bool


def gap_buckets(seconds: np.ndarray) -> np.ndarray:
    """Log2 buckets of the time between two events: 0 is under a second, 31 is decades."""
    whole = np.maximum(seconds, 0.0).astype(np.float64)
    return np.minimum(np.log2(1.0 + whole), GAP_BUCKETS - 1).astype(np.int64)


def strength_buckets(weights: np.ndarray) -> np.ndarray:
    """Whole strengths, 7 and above together."""
    return np.clip(weights, 0, STRENGTH_BUCKETS - 1).astype(np.int64)


def train(
    encoder: SequenceEncoder,
    interactions: Interactions,
    content: np.ndarray,
    *,
    recipe: SequenceRecipe,
    epochs: int,
    learning_rate: float,
    seed: int,
    validation: Validation | None = None,
    counted: Interactions | None = None,
    on_epoch: EpochReport | None = None,
) -> dict[str, list[float]]:
    """Train ``encoder`` in place and leave it at its best epoch by validation; returns the curves.

    ``interactions`` hold no runs of one item. Items without any event stay out of the softmax: they must not be
    pushed down for being new. ``content`` (n_items, c) feeds the item tower. ``counted`` says how often items are taken,
    where ``interactions`` are only a part.
    """
    rng = np.random.default_rng(seed)
    text = torch.from_numpy(np.require(content, np.float32, "W"))  # a copy where it is mapped
    softmax = Softmax(interactions if counted is None else counted, recipe, rng)
    tower: Tower
    if encoder.shape.items > FULL_SOFTMAX_UP_TO:
        rate = learning_rate
        tower = SparseTower(encoder, text, id_dropout=recipe.id_dropout, learning_rate=rate, seed=seed)
    else:
        tower = WholeTower(encoder, text, id_dropout=recipe.id_dropout, seed=seed)
    named = [
        (name, p) for name, p in encoder.named_parameters() if name != "ids" or isinstance(tower, WholeTower)
    ]
    decayed = [p for name, p in named if p.ndim == 2 and not name.endswith("bias")]
    plain = [p for name, p in named if p.ndim != 2 or name.endswith("bias")]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=learning_rate,
        betas=BETAS,
    )
    held = [p for name, p in named if name != "ids"]
    steps = epochs * max(1, math.ceil(len(interactions) / recipe.batch_events))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_cosine(step, steps))
    curves: dict[str, list[float]] = {"loss": []}
    best, best_state, waited = -1.0, None, 0
    for epoch in range(1, epochs + 1):
        encoder.train()
        losses = []
        for batch in _batches(interactions, encoder.shape.history, recipe.batch_events, rng):
            pool = softmax.pool(batch.targets.numpy())
            made = tower.towered(batch.items, pool.rows)
            queries = encoder(made.items, batch.gaps, batch.strengths, made.vectors)[batch.wanted]
            loss = softmax_loss(queries, made.vectors[made.pool], pool.targets, offsets=pool.offsets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*held, *tower.parameters()], 1.0)
            tower.step(float(schedule.get_last_lr()[0]) / learning_rate)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        figures = {"loss": float(np.mean(losses)) if losses else math.nan}
        if validation is not None and len(validation.targets):
            figures["ndcg_at_10"] = _ndcg(encoder, text, validation)
            waited = 0 if figures["ndcg_at_10"] > best else waited + 1
            if waited == 0:
                best = figures["ndcg_at_10"]
                best_state = {key: value.clone() for key, value in encoder.state_dict().items()}
        for key, value in figures.items():
            curves.setdefault(key, []).append(value)
        if on_epoch is not None:
            on_epoch(epoch, figures)
        if waited >= recipe.patience:
            break
    if best_state is not None:
        encoder.load_state_dict(best_state)
    encoder.eval()
    return curves


@dataclass(frozen=True)
class WindowBatch:
    """Right-aligned windows (b, l); ``wanted`` (b, l) marks the inputs, ``targets`` (t,) follow them in that order."""

    items: Tensor
    gaps: Tensor
    strengths: Tensor
    wanted: Tensor
    targets: Tensor


def batch_of(histories: Histories, *, length: int, item_count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Items, gaps and strengths (b, length) of histories; an event's gap ends at the next one or at ``now``."""
    lengths = histories.lengths
    following = np.empty_like(histories.times)
    following[:-1] = histories.times[1:]
    ends = histories.indptr[1:][lengths > 0] - 1
    following[ends] = histories.now[lengths > 0]
    flat = np.arange(len(histories.items))
    slot = length - np.repeat(histories.indptr[1:], lengths) + flat
    owner = np.repeat(np.arange(len(histories)), lengths)
    kept = slot >= 0
    tables = []
    for values, fill in (
        (histories.items, item_count),
        (gap_buckets(following - histories.times), 0),
        (strength_buckets(histories.weights), 0),
    ):
        table = np.full((len(histories), length), fill, np.int64)
        table[owner[kept], slot[kept]] = values[kept]
        tables.append(torch.from_numpy(table))
    return tables[0], tables[1], tables[2]


def _batches(
    data: Interactions, history: int, batch_events: int, rng: np.random.Generator
) -> Iterator[WindowBatch]:
    """Each epoch cuts every user's events anew at a random offset, so no event is always a window's first."""
    windows = _cut(data.indptr, history, rng)
    order = rng.permutation(len(windows.starts))
    order = order[
        np.argsort((windows.ends - windows.starts)[order] // 8, kind="stable")
    ]  # like lengths together
    sizes = (windows.ends - windows.starts)[order]
    groups, first = [], 0
    for last in range(1, len(order) + 1):
        longest = sizes[last - 1]
        if last == len(order) or (last - first + 1) * max(longest, sizes[last]) > batch_events:
            groups.append(order[first:last])
            first = last
    for group in rng.permutation(len(groups)):
        chosen = groups[group]
        starts, ends = windows.starts[chosen], windows.ends[chosen]
        inputs = data.slices(starts, ends, now=data.times[ends])
        length = int((ends - starts).max())
        items, gaps, strengths = batch_of(inputs, length=length, item_count=data.item_count)
        wanted = items < data.item_count
        targets = torch.from_numpy(
            data.slices(starts + 1, ends + 1, now=data.times[ends]).items.astype(np.int64)
        )
        yield WindowBatch(items, gaps, strengths, wanted, targets)


def _cut(indptr: np.ndarray, history: int, rng: np.random.Generator) -> Windows:
    starts, ends = [], []
    for low, high in zip(indptr[:-1], indptr[1:] - 1, strict=True):  # the last event is a target only
        if high <= low:
            continue
        offset = int(rng.integers(history)) if high - low > history else 0
        edges = np.unique(np.clip(np.arange(low - offset, high + history, history), low, high))
        starts.append(edges[:-1])
        ends.append(edges[1:])
    empty = np.zeros(0, np.int64)
    return Windows(np.concatenate([empty, *starts]), np.concatenate([empty, *ends]))


@dataclass(frozen=True)
class Pool:
    """What a step's targets are compared with: item ``rows`` (p,), each target's place among them (t,), log-Q offsets (p,)."""

    rows: np.ndarray
    targets: Tensor
    offsets: Tensor | None = None


class Softmax:
    """Full softmax over the items that have events, or a sample of them with the log-Q correction (Bengio 2008)."""

    def __init__(self, interactions: Interactions, recipe: SequenceRecipe, rng: np.random.Generator) -> None:
        counts = np.bincount(interactions.items, minlength=interactions.item_count).astype(np.float64)
        self._rows = np.flatnonzero(counts)
        self._place = np.full(interactions.item_count, -1, np.int64)
        self._place[self._rows] = np.arange(len(self._rows))
        share = counts[self._rows] ** 0.75
        self._share = share / max(share.sum(), 1e-12)
        self._until = np.cumsum(self._share)
        wanted = recipe.negatives or (SAMPLED if len(self._rows) > FULL_SOFTMAX_UP_TO else 0)
        self._sampled = wanted if wanted < len(self._rows) else 0
        self._rng = rng

    def pool(self, targets: np.ndarray) -> Pool:
        """All items that have events, or a sample of them and the ``targets`` (t,) rows."""
        wanted = self._place[targets]
        if not self._sampled:
            return Pool(self._rows, torch.from_numpy(wanted))
        drawn = np.searchsorted(self._until, self._rng.random(self._sampled), side="right")
        drawn = np.minimum(drawn, len(self._rows) - 1)  # the sum of shares may end a little below one
        pool, inverse = np.unique(np.concatenate([wanted, drawn]), return_inverse=True)
        chance = -np.expm1(self._sampled * np.log1p(-self._share[pool]))  # of being drawn at least once
        positive = np.bincount(inverse[: len(wanted)], minlength=len(pool)) / len(wanted)
        offsets = -np.log(np.minimum(chance + positive, 1.0))
        return Pool(
            self._rows[pool],
            torch.from_numpy(inverse[: len(wanted)].astype(np.int64)),
            torch.from_numpy(offsets.astype(np.float32)),
        )


@torch.no_grad()
def encode(
    encoder: SequenceEncoder, histories: Histories, vectors: Tensor, *, batch: int = 1024
) -> np.ndarray:
    """(b, d) query of each history (without runs); zeros where a history is empty."""
    queries = np.zeros((len(histories), encoder.shape.dimensions), np.float32)
    length = encoder.shape.history
    for start in range(0, len(histories), batch):
        part = histories[start : start + batch]
        items, gaps, strengths = batch_of(part, length=length, item_count=len(vectors))
        rows, places = torch.unique(items, return_inverse=True)  # a copy of their vectors, not of all
        real = rows < len(vectors)
        places[items == len(vectors)] = int(real.sum())
        found = encoder(places, gaps, strengths, vectors[rows[real]])[:, -1].numpy()
        queries[start : start + batch] = np.where((part.lengths > 0)[:, None], found, 0.0)
    return queries


@torch.no_grad()
def _ndcg(encoder: SequenceEncoder, content: Tensor, validation: Validation) -> float:
    encoder.eval()
    vectors = encoder.item_vectors(content)
    queries = encode(encoder, validation.histories, vectors)
    gains = []
    together = max(1, SCORES_AT_ONCE // max(len(vectors), 1))
    for start in range(0, len(queries), together):
        part = validation.histories[start : start + together]
        scores = queries[start : start + together] @ vectors.numpy().T  # (b, n_items)
        targets = validation.targets[start : start + together]
        here = np.arange(len(targets))
        wanted = scores[here, targets].copy()
        if validation.exclude_seen:
            scores[np.repeat(here, part.lengths), part.items] = -np.inf
        rank = 1 + (scores > wanted[:, None]).sum(1)
        gains.append(np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0))
    return float(np.concatenate(gains).mean())


def _warm_cosine(step: int, steps: int) -> float:
    warm = max(1, min(200, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
