import numpy as np
import pandas as pd
import pytest

from tailorbird.catalog.catalog import Catalog
from tailorbird.evaluation.variety import ListDiversity, coverage, exposure_gini, novelty, popularity_bias


def test_coverage_counts_each_shown_item_once() -> None:
    rankings = np.array([[0, 1, 2], [0, 1, 3], [0, -1, -1]])
    assert coverage(rankings, 2, item_count=8) == 2 / 8
    assert coverage(rankings, 3, item_count=8) == 4 / 8


def test_gini_is_zero_for_everyone_alike_and_near_one_for_a_single_item() -> None:
    assert exposure_gini(np.arange(100)[:, None], 1, item_count=100) == pytest.approx(0)
    assert exposure_gini(np.zeros((50, 1), int), 1, item_count=100) == pytest.approx(0.99)


def test_novelty_is_bits_of_surprise() -> None:
    popularity = np.array([7, 1, 0])  # of 7 users
    ranked = np.array([[0], [1], [2], [-1]])
    bits = novelty(ranked, 1, popularity=popularity, user_count=7)
    assert bits[:3].tolist() == [0, 2, 3]
    assert np.isnan(bits[3])


def test_popularity_bias_compares_the_shown_with_the_chosen() -> None:
    bias = popularity_bias(np.array([[0, 1]]), 2, popularity=np.array([30, 10]), chosen=10.0)
    assert bias[0] == 2


def test_alike_texts_have_no_diversity_and_unlike_ones_all() -> None:
    catalog = Catalog.from_frame(
        pd.DataFrame({"item_id": list("abcd"), "title": ["red shoe", "red shoe", "blue hat", ""]})
    )
    diversity = ListDiversity.of(catalog)
    assert diversity is not None
    found = diversity(np.array([[0, 1], [0, 2], [0, 3], [0, -1]]), 2)
    assert found[:3] == pytest.approx([0, 1, 1], abs=1e-6)
    assert np.isnan(found[3])


def test_diversity_equals_the_mean_over_pairs() -> None:
    words = ["sun", "sea", "salt", "sand", "stone"]
    rng = np.random.default_rng(0)
    catalog = Catalog.from_frame(
        pd.DataFrame(
            {
                "item_id": [str(i) for i in range(30)],
                "text": [" ".join(rng.choice(words, 4)) for _ in range(30)],
            }
        )
    )
    diversity = ListDiversity.of(catalog)
    assert diversity is not None
    vectors = diversity._vectors.toarray()
    ranking = rng.permutation(30)[:6]
    pairs = [1 - vectors[i] @ vectors[j] for a, i in enumerate(ranking) for j in ranking[a + 1 :]]
    assert diversity(ranking[None], 6)[0] == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_catalogue_without_texts_has_no_diversity_figure() -> None:
    assert ListDiversity.of(Catalog.from_frame(pd.DataFrame({"item_id": ["a", "b"]}))) is None
