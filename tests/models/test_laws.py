"""Every retriever obeys the laws, and none is forgotten."""

import importlib
import inspect
import pkgutil

import tailorbird.models
from tailorbird.models.base import Retriever
from tailorbird.models.retrievers.content import Content
from tailorbird.models.retrievers.cooccurrence import Cooccurrence
from tailorbird.models.retrievers.habit import Habit
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.models.sequence.retriever import Sequence
from tailorbird.recipes.recipe import ContentRecipe, SequenceRecipe
from tests.models import toy
from tests.models.laws import RetrieverLaws

SMALL = SequenceRecipe(dimensions=8, heads=2, history=8, epochs=2, refit_epochs=1, batch_events=256)


class TestPopularity(RetrieverLaws):
    kind = Popularity

    @classmethod
    def make(cls) -> Popularity:
        return Popularity().fit(toy.interactions(), toy.catalog())


class TestCooccurrence(RetrieverLaws):
    kind = Cooccurrence

    @classmethod
    def make(cls) -> Cooccurrence:
        return Cooccurrence().fit(toy.interactions(), toy.catalog())


class TestContent(RetrieverLaws):
    kind = Content

    @classmethod
    def make(cls) -> Content:
        return Content(ContentRecipe(dimensions=4)).fit(toy.interactions(), toy.catalog())


class TestHabit(RetrieverLaws):
    kind = Habit

    @classmethod
    def make(cls) -> Habit:
        return Habit().fit(toy.interactions(), toy.catalog())


class TestSequence(RetrieverLaws):
    kind = Sequence

    @classmethod
    def make(cls) -> Sequence:
        return Sequence(SMALL).fit(toy.interactions(), toy.catalog())

    @classmethod
    def blank(cls) -> Sequence:
        return Sequence(SMALL)


def test_every_retriever_is_under_the_laws() -> None:
    for module in pkgutil.iter_modules(tailorbird.models.__path__):
        importlib.import_module(f"tailorbird.models.{module.name}")
    under_law = {laws.kind for laws in RetrieverLaws.__subclasses__()}
    assert {kind for kind in _descendants(Retriever) if not inspect.isabstract(kind)} == under_law


def _descendants(kind: type) -> set[type]:
    return set(kind.__subclasses__()).union(*(_descendants(child) for child in kind.__subclasses__()))
