"""The text space: the same vectors for the same words, whenever they are told."""

from pathlib import Path

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.models.retrievers.texts import Embedded, TextSpace
from tailorbird.recipes.recipe import ContentRecipe
from tests.models import toy

TEXTS = [*toy.catalog().texts, "", "the and of", "Tent TENT tent, ROPE!", "naïve Überzelt 3000 tent"]
RECIPE = ContentRecipe(dimensions=6)


def test_texts_told_later_lie_where_they_would_have_lain() -> None:
    embedded = Embedded.of(TEXTS, RECIPE)
    np.testing.assert_allclose(embedded.space.vectors(TEXTS), embedded.vectors, atol=1e-5)


def test_vectors_have_unit_length() -> None:
    vectors = Embedded.of(toy.catalog().texts, RECIPE).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


def test_a_text_of_unknown_words_has_no_vector() -> None:
    assert not Embedded.of(TEXTS, RECIPE).space.vectors(["quxly", "", "the"]).any()


def test_items_without_text_have_no_vector_and_nothing_breaks(tmp_path: Path) -> None:
    embedded = Embedded.of(Catalog.of_ids(["a", "b", "c"]).texts, RECIPE)
    embedded.space.save(tmp_path)
    assert embedded.vectors.shape == (3, 6)
    assert not embedded.vectors.any()
    assert not TextSpace.load(tmp_path).vectors(["a tent"]).any()


def test_a_space_survives_the_disk_without_a_pickle(tmp_path: Path) -> None:
    space = Embedded.of(TEXTS, RECIPE).space
    space.save(tmp_path)
    np.testing.assert_array_equal(TextSpace.load(tmp_path).vectors(TEXTS), space.vectors(TEXTS))
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
