"""Content on a toy world: words decide, also for what nobody touched."""

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.models.retrievers.content import Content, text_vectors
from tailorbird.recipes.recipe import ContentRecipe
from tests.models import toy


def test_a_new_item_is_found_by_its_words() -> None:
    fitted = Content(ContentRecipe(dimensions=4)).fit(toy.interactions(), toy.catalog())
    scores = fitted.scores(fitted.encode(toy.asking([6, 7], [0, 1])))
    assert scores[0, toy.COLD] > 0.5
    assert scores[1, toy.COLD] < 0.2


def test_items_without_text_have_no_vector_and_nothing_breaks() -> None:
    bare = Catalog.of_ids(["a", "b", "c"])
    vectors = text_vectors(bare, ContentRecipe(dimensions=4))
    assert vectors.shape == (3, 4)
    assert not vectors.any()


def test_vectors_have_unit_length() -> None:
    vectors = text_vectors(toy.catalog(), ContentRecipe(dimensions=4))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
