"""The sequence retriever: the network, its loss, its training and its quick path."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.events.interactions import Histories, Interactions
from tailorbird.models.sequence import training
from tailorbird.models.sequence.encoder import EncoderShape, SequenceEncoder, softmax_loss
from tailorbird.models.sequence.inference import QuickEncoder
from tailorbird.models.sequence.retriever import Sequence, validation_of
from tailorbird.models.sequence.tower import SparseTower, WholeTower
from tailorbird.models.sequence.training import _batches, encode, gap_buckets
from tailorbird.recipes.recipe import SequenceRecipe
from tests.models import toy

LEARNING = SequenceRecipe(
    dimensions=16,
    heads=2,
    history=8,
    epochs=12,
    refit_epochs=2,
    batch_events=128,
    learning_rate=1e-2,
    dropout=0.0,
)


@pytest.fixture(scope="module")
def learned() -> Sequence:
    return Sequence(LEARNING).fit(toy.interactions(), toy.catalog())


def _network(*, items: int = 50, history: int = 10, blocks: int = 2) -> tuple[SequenceEncoder, torch.Tensor]:
    torch.manual_seed(3)
    network = SequenceEncoder(EncoderShape(items, 4, 16, blocks, 2, history)).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # zeros would hide a forgotten term
            parameter.add_(torch.randn_like(parameter) * 0.1)
        return network, network.item_vectors(torch.randn(items, 4))


def _history(rng: np.random.Generator, events: int, items: int = 50) -> Histories:
    now = 1e9
    return Histories(
        indptr=np.array([0, events]),
        items=rng.integers(0, items, events).astype(np.int32),
        times=np.sort(now - rng.exponential(1e5, events)),
        weights=rng.integers(1, 9, events).astype(np.float32),
        now=np.array([now]),
    )


def test_the_next_item_of_the_ring_is_learned(learned: Sequence) -> None:
    histories = toy.asking([0, 1, 2], [4, 5], [7, 8, 9])
    assert toy.best_of(learned, histories, 1) == [[3], [0], [10]]


def test_order_matters_not_only_what_was_touched(learned: Sequence) -> None:
    histories = toy.asking([1, 2, 3], [3, 2, 1])
    forward, backward = learned.scores(learned.encode(histories))
    assert forward[4] > backward[4]


def test_going_on_with_everything_keeps_what_was_learned() -> None:
    data = toy.interactions()
    retriever = Sequence(LEARNING).fit(data.before(toy.START + 15 * 60), toy.catalog()).refit(data)
    assert toy.best_of(retriever, toy.asking([0, 1, 2]), 1) == [[3]]
    assert len(retriever.curves["loss"]) == LEARNING.epochs + LEARNING.refit_epochs


def test_a_new_item_has_a_vector_made_of_its_content(learned: Sequence) -> None:
    vectors = learned.index.vectors
    cosines = (
        vectors @ vectors[toy.COLD] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[toy.COLD])
    )
    assert cosines[6:12].mean() > cosines[:6].mean() + 0.2  # its text is that of the second shelf
    assert learned._encoder is not None
    assert not learned._encoder.ids[toy.COLD].any()


def test_an_empty_history_finds_nothing(learned: Sequence) -> None:
    assert toy.best_of(learned, toy.asking([]), 3) == [[]]


def test_training_stops_when_validation_no_longer_gains() -> None:
    data = toy.interactions()
    cut = toy.START + 16 * 60
    recipe = SequenceRecipe(
        dimensions=16,
        heads=2,
        history=8,
        epochs=60,
        patience=2,
        batch_events=128,
        learning_rate=2e-2,
        dropout=0.0,
    )
    fitted = Sequence(recipe).fit(data.before(cut), toy.catalog(), validation=data.where(data.times >= cut))
    curve = fitted.curves["ndcg_at_10"]
    assert len(curve) < 60
    assert max(curve) >= max(curve[-2:])


def test_the_same_seed_gives_the_same_network() -> None:
    one, two = (Sequence(LEARNING, seed=5).fit(toy.interactions(users=6), toy.catalog()) for _ in range(2))
    np.testing.assert_array_equal(one.index.vectors, two.index.vectors)


def test_a_large_catalogue_learns_the_ring_from_the_rows_of_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "FULL_SOFTMAX_UP_TO", 4)
    monkeypatch.setattr(training, "SAMPLED", 8)
    fitted = Sequence(LEARNING).fit(toy.interactions(), toy.catalog())
    assert toy.best_of(fitted, toy.asking([0, 1, 2], [9, 10]), 1) == [[3], [11]]


def test_a_sparse_tower_gives_the_vectors_of_the_whole_one_and_moves_no_others() -> None:
    network, _ = _network()
    text, before = torch.randn(50, 4), network.ids.detach().clone()
    items, pool = torch.tensor([[50, 3, 7], [7, 7, 49]]), np.array([7, 12])
    whole = WholeTower(network, text, id_dropout=0.0, seed=1).towered(items, pool)
    tower = SparseTower(network, text, id_dropout=0.0, learning_rate=0.1, seed=1)
    sparse = tower.towered(items, pool)
    padded, local = (F.pad(made.vectors, (0, 0, 0, 1)) for made in (whole, sparse))
    torch.testing.assert_close(padded[whole.items], local[sparse.items])
    torch.testing.assert_close(whole.vectors[whole.pool], sparse.vectors[sparse.pool])
    assert sparse.items[0, 0] == len(sparse.vectors)
    sparse.vectors.sum().backward()
    tower.step(1.0)
    moved = torch.nonzero((network.ids != before).any(1)).ravel().tolist()
    assert moved == [3, 7, 12, 49]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(1, 3))
def test_numpy_and_torch_give_the_same_query(seed: int, events: int, blocks: int) -> None:
    network, vectors = _network(blocks=blocks)
    history = _history(np.random.default_rng(seed), events)
    other = _history(np.random.default_rng(seed + 1), 25 - events)
    quick = QuickEncoder.of(network, vectors.numpy().__getitem__)
    expected = encode(network, history, vectors)
    np.testing.assert_allclose(quick.encode([history]), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(quick.encode([other, history])[1:], expected, rtol=1e-4, atol=1e-5)


def test_a_query_never_sees_later_events() -> None:
    network, vectors = _network()
    items = torch.randint(0, 50, (1, 10))
    changed = items.clone()
    changed[0, 7:] = (changed[0, 7:] + 1) % 50
    zeros = torch.zeros_like(items)
    with torch.no_grad():
        first, second = (network(x, zeros, zeros, vectors) for x in (items, changed))
    torch.testing.assert_close(first[0, :7], second[0, :7])
    assert not torch.allclose(first[0, 7:], second[0, 7:])


def test_padding_changes_nothing() -> None:
    network, vectors = _network()
    short = torch.randint(0, 50, (1, 4))
    padded = F.pad(short, (6, 0), value=50)
    with torch.no_grad():
        plain = network(short, torch.zeros_like(short), torch.zeros_like(short), vectors)
        wide = network(padded, torch.zeros_like(padded), torch.zeros_like(padded), vectors)
    torch.testing.assert_close(plain, wide[:, 6:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("offset", [False, True])
def test_the_chunked_loss_is_cross_entropy(offset: bool) -> None:
    torch.manual_seed(0)
    queries, vectors = torch.randn(1100, 8), torch.randn(30, 8)
    targets = torch.randint(0, 30, (1100,))
    offsets = torch.randn(30) if offset else None
    ours = [queries.clone().requires_grad_(), vectors.clone().requires_grad_()]
    plain = [queries.clone().requires_grad_(), vectors.clone().requires_grad_()]
    loss = softmax_loss(*ours, targets, offsets=offsets)
    logits = plain[0] @ plain[1].T + (0 if offsets is None else offsets)
    expected = F.cross_entropy(logits, targets)
    loss.backward()
    expected.backward()
    # bfloat16 keeps eight bits of a product's factors.
    torch.testing.assert_close(loss, expected, rtol=5e-3, atol=0)
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm()


def test_sampled_softmax_learns_the_ring_too() -> None:
    recipe = SequenceRecipe(
        dimensions=16,
        heads=2,
        history=8,
        epochs=12,
        batch_events=128,
        learning_rate=1e-2,
        dropout=0.0,
        negatives=4,
    )
    fitted = Sequence(recipe).fit(toy.interactions(), toy.catalog())
    assert toy.best_of(fitted, toy.asking([0, 1, 2]), 1) == [[3]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.integers(2, 9),
    st.integers(8, 64),
    st.integers(0, 99),
)
def test_each_epoch_asks_for_every_event_but_the_first_once(
    lengths: list[int], history: int, batch_events: int, seed: int
) -> None:
    owners = np.repeat(np.arange(len(lengths)), lengths)
    data = Interactions.of(
        users=owners,
        items=np.arange(len(owners)),  # every event its own item, so that targets name events
        times=np.arange(len(owners), dtype=float),
        user_ids=np.array([str(u) for u in range(len(lengths))], dtype=object),
        item_count=max(1, len(owners)),
    )
    asked = []
    for batch in _batches(data, history, batch_events, np.random.default_rng(seed)):
        inputs = batch.items[batch.wanted]
        assert (batch.targets == inputs + 1).all()  # the event right after each input
        assert batch.items.shape[1] <= history
        asked += batch.targets.tolist()
    later = [row for row in range(1, len(owners)) if owners[row] == owners[row - 1]]
    assert sorted(asked) == later


def test_gap_buckets_grow_with_the_logarithm() -> None:
    seconds = np.array([-5.0, 0.0, 1e-6, 1.0, 60.0, 86_400.0, 1e12])
    assert gap_buckets(seconds).tolist() == [0, 0, 0, 1, 5, 16, 31]


def test_validation_cases_reveal_history_until_each_event_and_no_further() -> None:
    data = toy.interactions(users=4)
    cut = toy.START + 20 * 60
    cases = validation_of(data.before(cut), data.where(data.times >= cut), exclude_seen=True, seed=0)
    assert len(cases.targets) == 4 * 4
    for row, target in enumerate(cases.targets):
        seen = cases.histories.seen(row)
        shelf = seen[-1] // toy.SHELF * toy.SHELF
        assert target == shelf + (seen[-1] - shelf + 1) % toy.SHELF
        assert (
            cases.histories.times[cases.histories.indptr[row] : cases.histories.indptr[row + 1]]
            < cases.histories.now[row]
        ).all()


def test_where_repeats_count_early_stopping_sees_them() -> None:
    """The ring is walked again and again: every right answer had been had before."""
    data = toy.interactions(users=12)
    cut = toy.START + 18 * 60
    recipe = SequenceRecipe(
        dimensions=16, heads=2, history=8, epochs=12, batch_events=128, learning_rate=0.01
    )
    older, newer = data.before(cut), data.where(data.times >= cut)

    def curve(*, exclude_seen: bool) -> list[float]:
        network = Sequence(recipe, seed=1)
        network.fit(older, toy.catalog(), validation=newer, exclude_seen=exclude_seen)
        return network.curves["ndcg_at_10"]

    assert set(curve(exclude_seen=True)) == {1.0}  # all that could be confused with the answer is left out
    learned = curve(exclude_seen=False)
    assert learned[0] < 0.9
    assert max(learned) > learned[0] + 0.1


def test_what_a_network_forgets_is_known_by_its_content_alone() -> None:
    data = toy.interactions(users=12)
    network = Sequence(SequenceRecipe(dimensions=8, heads=2, history=8, epochs=2)).fit(data, toy.catalog())
    forgotten = np.arange(toy.ITEMS) == 3
    new = network.forgetting(forgotten)
    changed = (new.index.vectors != network.index.vectors).any(axis=1)
    assert changed.tolist() == forgotten.tolist()
    np.testing.assert_allclose(
        new.index.vectors[3], new.index.vectors[4] - network._encoder.ids[4].detach().numpy(), atol=1e-4
    )


def test_the_newest_events_alone_can_be_learned_from() -> None:
    data = toy.interactions()
    recipe = SequenceRecipe(dimensions=8, heads=2, history=8, epochs=1, refit_epochs=1, most_events=100)
    network = Sequence(recipe)
    kept = network._newest(data)
    assert 100 <= len(kept) < 140  # the events of one instant stay together
    assert kept.times.min() >= np.sort(data.times)[-140]
    whole = network.fit(data, toy.catalog()).index.vectors
    assert np.isfinite(whole).all()
    early = np.setdiff1d(data.items, kept.items)
    assert not network._encoder.ids[early].any()  # an item without events to learn from is its content
