"""The sequence retriever: a causal transformer over the last events, its items found by inner product."""

import json
from collections.abc import Collection
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.base import Asked, Retriever
from tailorbird.models.retrievers.grown import GrownIndex
from tailorbird.models.retrievers.index import VectorIndex
from tailorbird.models.retrievers.recency import interactions_without_runs, some_histories, without_runs
from tailorbird.models.retrievers.search import MEASURED
from tailorbird.models.retrievers.texts import Embedded
from tailorbird.models.sequence.encoder import EncoderShape, SequenceEncoder
from tailorbird.models.sequence.inference import QuickEncoder
from tailorbird.models.sequence.training import EpochReport, Validation, encode, train
from tailorbird.plumbing.disk import mapped
from tailorbird.recipes.recipe import ContentRecipe, SequenceRecipe


class Sequence(Retriever):
    """Queries are the network's last hidden state (b, d); items are id embedding plus projected content."""

    name = "sequence"

    def __init__(
        self,
        recipe: SequenceRecipe | None = None,
        *,
        content: np.ndarray | None = None,
        seed: int = 0,
        on_epoch: EpochReport | None = None,
    ) -> None:
        """``content`` (n_items, c) are the items' text vectors, made from the catalogue where absent."""
        self.recipe = recipe or SequenceRecipe(dimensions=64)
        self.curves: dict[str, list[float]] = {}
        self._content = content
        self._seed = seed
        self._on_epoch = on_epoch
        self._encoder: SequenceEncoder | None = None
        self._folder: Path | None = None
        self._quick: QuickEncoder | None = None
        self.index = self._trained = VectorIndex.build(np.zeros((0, 1), np.float32))

    def fit(
        self,
        interactions: Interactions,
        catalog: Catalog,
        *,
        validation: Interactions | None = None,
        exclude_seen: bool = True,
    ) -> Self:
        """Train from scratch; with ``validation`` (newer events of the same users) stop at the best epoch.

        ``exclude_seen`` says whether items of the history count as answers there.
        """
        content = self._contents(catalog)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            shape = EncoderShape(
                items=len(catalog),
                content=content.shape[1],
                dimensions=self.recipe.dimensions,
                blocks=self.recipe.blocks,
                heads=self.recipe.heads,
                history=self.recipe.history,
            )
            self._encoder = SequenceEncoder(shape, dropout=self.recipe.dropout)
            untouched = np.bincount(self._newest(interactions).items, minlength=len(catalog)) == 0
            with torch.no_grad():  # nothing would ever correct a random id: a new item is its content
                self._encoder.ids[torch.from_numpy(untouched)] = 0.0
            cases = (
                None
                if validation is None
                else validation_of(interactions, validation, exclude_seen=exclude_seen, seed=self._seed)
            )
            self._train(interactions, self.recipe.epochs, self.recipe.learning_rate, cases)
        return self

    def refit(self, interactions: Interactions, *, since: float | None = None) -> Self:
        """Go on from the learned weights, for a few gentle epochs, over everything.

        With ``since`` (epoch seconds) only over what arrived later, each with the history before it: the rest is learned.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed + 1)
            self._train(
                interactions, self.recipe.refit_epochs, self.recipe.learning_rate / 2, None, since=since
            )
        return self

    def moved(
        self, rows: np.ndarray, content: np.ndarray, *, seed: int, on_epoch: EpochReport | None
    ) -> Self:
        """The same weights for another catalogue, to go on from by :meth:`refit`.

        ``rows`` (n_items,) are the old rows of its items, -1 of one that is new: it is its content, as in :meth:`fit`.
        ``content`` (n_items, c) are their texts' vectors in the space that the weights were learned in.
        """
        old = self._network()
        fresh = type(self)(self.recipe, content=content, seed=seed, on_epoch=on_epoch)
        encoder = SequenceEncoder(replace(old.shape, items=len(rows)), dropout=self.recipe.dropout)
        ids = torch.zeros(len(rows), old.shape.dimensions)
        kept = torch.from_numpy(rows >= 0)
        ids[kept] = old.ids.detach()[torch.from_numpy(rows[rows >= 0]).long()]
        encoder.load_state_dict({**old.state_dict(), "ids": ids})
        fresh._encoder = encoder
        return fresh

    def forgetting(self, items: np.ndarray) -> Self:
        """The same network, to which ``items`` (n_items,) bool are new: of those it knows what they say of themselves.

        The weights are shared; :meth:`refit` of either ends that.
        """
        text = torch.from_numpy(np.require(self._contents(None), np.float32, "W"))
        with torch.no_grad():
            vectors = self._network().item_vectors(text, hidden_ids=torch.from_numpy(items))
        forgetful = copy(self)
        forgetful._set(self._network(), VectorIndex.build(vectors.numpy()))
        return forgetful

    def encode(self, histories: Histories) -> np.ndarray:
        """(b, d); zero for an empty history."""
        if self.index is not self._trained and self._quick is not None:  # the network knows no other rows
            plain = without_runs(histories)
            return self._quick.encode([plain[row : row + 1] for row in range(len(plain))])
        vectors = torch.from_numpy(np.array(self.index.vectors))
        return encode(self._network(), without_runs(histories), vectors)

    def scores(self, queries: Any) -> np.ndarray:
        """(b, n_items) inner products."""
        return np.asarray(queries @ self.index.vectors.T)

    def ask(self, histories: Collection[Histories]) -> list[Asked]:
        """Look for the largest inner products; an empty history has none."""
        assert self._quick is not None, "fit or load first"
        return self.index.ask(self._quick.encode(histories))

    def grown(self, rows: np.ndarray, texts: np.ndarray | None, *, count: int) -> Self:
        """With the vectors of new items beside the index: what they say of themselves, as of any item without events.

        Of an item that speaks anew, what its events have taught stays.
        """
        assert self._quick is not None, "fit or load first"
        if texts is None:
            rows, texts = rows[:0], np.zeros((0, len(self._quick.project)), np.float32)
        vectors = np.asarray(texts @ self._quick.project, np.float32)  # (m, d)
        known = np.flatnonzero(rows < len(self._trained))
        old = rows[known]
        vectors[known] += self._trained.vectors[old] - self._contents(None)[old] @ self._quick.project
        return self.over(GrownIndex.of(self.index, rows, vectors, count=count))

    def settled(self) -> Self:
        """With one index where much lies beside it."""
        index = self.index
        return self.over(index.joined()) if isinstance(index, GrownIndex) and index.crowded else self

    def over(self, index: VectorIndex) -> Self:
        """The same network with the items' vectors in another index."""
        assert self._quick is not None, "fit or load first"
        fresh = copy(self)
        fresh.index, fresh._quick = index, self._quick.over(index.take)
        return fresh

    def save(self, folder: Path) -> None:
        """Write weights, content vectors, the index and the recipe."""
        save_file(self._network().state_dict(), folder / "encoder.safetensors")
        np.save(folder / "content.npy", self._contents(None))
        self.index.save(folder)
        described = {"recipe": asdict(self.recipe), "shape": asdict(self._network().shape)}
        (folder / "sequence.json").write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote: for requests the small weights and the items' vectors, the network once asked for."""
        described = json.loads((folder / "sequence.json").read_text(encoding="utf-8"))
        loaded = cls(SequenceRecipe(**described["recipe"]), content=mapped(folder / "content.npy"))
        loaded._folder = folder
        loaded.index = loaded._trained = VectorIndex.load(folder)
        with safe_open(folder / "encoder.safetensors", "np") as file:
            weights = {name: file.get_tensor(name) for name in file.keys() if name != "ids"}  # noqa: SIM118
        loaded._quick = QuickEncoder(EncoderShape(**described["shape"]), weights, loaded.index.take)
        return loaded

    def _network(self) -> SequenceEncoder:
        """The whole network; read from the bundle where it was not needed until now."""
        if self._encoder is None:
            assert self._folder is not None, "fit or load first"
            described = json.loads((self._folder / "sequence.json").read_text(encoding="utf-8"))
            encoder = SequenceEncoder(EncoderShape(**described["shape"]))
            encoder.load_state_dict(load_file(self._folder / "encoder.safetensors"))
            self._encoder = encoder.eval()
        return self._encoder

    def _train(
        self,
        interactions: Interactions,
        epochs: int,
        learning_rate: float,
        cases: Validation | None,
        *,
        since: float | None = None,
    ) -> None:
        encoder, content = self._network(), self._contents(None)
        newest = self._newest(interactions_without_runs(interactions))
        curves = train(
            encoder,
            newest if since is None else with_history(newest, since=since, length=self.recipe.history),
            content,
            recipe=self.recipe,
            epochs=epochs,
            learning_rate=learning_rate,
            seed=self._seed,
            validation=cases,
            counted=newest,
            on_epoch=self._on_epoch,
        )
        for name, values in curves.items():
            self.curves.setdefault(name, []).extend(values)
        with torch.no_grad():
            vectors = encoder.item_vectors(torch.from_numpy(np.require(content, np.float32, "W")))
        # What requests will ask is what people's histories ask.
        asking = some_histories(interactions, count=MEASURED, length=self.recipe.history, seed=self._seed)
        queries = encode(encoder, asking, vectors)
        self._set(encoder, VectorIndex.build(vectors.numpy(), queries=queries))

    def _newest(self, interactions: Interactions) -> Interactions:
        most = self.recipe.most_events
        if not most or len(interactions) <= most:
            return interactions
        return interactions.where(interactions.times >= np.partition(interactions.times, -most)[-most])

    def _set(self, encoder: SequenceEncoder, index: VectorIndex) -> None:
        self._encoder, self.index, self._trained = encoder, index, index
        self._quick = QuickEncoder.of(encoder, index.take)

    def _contents(self, catalog: Catalog | None) -> np.ndarray:
        if self._content is None:
            assert catalog is not None, "fit or load first"
            recipe = ContentRecipe(dimensions=self.recipe.dimensions)
            self._content = Embedded.of(catalog.texts, recipe).vectors
        return self._content


def with_history(interactions: Interactions, *, since: float, length: int) -> Interactions:
    """What arrived after ``since`` (epoch seconds), and of the same users the ``length`` events before it, and all after it."""
    new = interactions.arrived > since
    first = np.full(interactions.user_count, np.iinfo(np.int64).max)
    rows = np.flatnonzero(new)
    np.minimum.at(first, interactions.users[rows], rows)
    return interactions.where(np.arange(len(interactions)) >= first[interactions.users] - length)


def validation_of(
    older: Interactions,
    newer: Interactions,
    *,
    exclude_seen: bool,
    seed: int,
    length: int = 1024,
) -> Validation:
    """Some of the newer events, of users with older ones, with the whole history revealed until each.

    Up to 2,000 of them; in a large catalogue, all of which is scored for each, fewer.
    """
    limit = min(2_000, max(200, 200_000_000 // max(older.item_count, 1)))
    both = interactions_without_runs(older.joined(newer))
    cut = newer.times.min(initial=np.inf)
    known = np.bincount(older.users, minlength=older.user_count) > 0
    rows = np.flatnonzero((both.times >= cut) & known[both.users])
    if len(rows) > limit:
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    starts = both.indptr[both.users[rows]]
    histories = both.known_slices(starts, rows, now=both.times[rows], length=length)
    return Validation(histories, both.items[rows].astype(np.int64), exclude_seen)
