"""Content on a toy world: words decide, also for what nobody touched."""

from tailorbird.models.retrievers.content import Content
from tailorbird.recipes.recipe import ContentRecipe
from tests.models import toy


def test_a_new_item_is_found_by_its_words() -> None:
    fitted = Content(ContentRecipe(dimensions=4)).fit(toy.interactions(), toy.catalog())
    scores = fitted.scores(fitted.encode(toy.asking([6, 7], [0, 1])))
    assert scores[0, toy.COLD] > 0.5
    assert scores[1, toy.COLD] < 0.2
