"""Slates as they were shown become lessons: with the features of their instant, whether the exposure kept them all or not."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.exposures.outcomes import Shown
from tailorbird.exposures.record import exposure_of
from tailorbird.features.items.items import ItemTable
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.shown import shown_slates
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.ranker.ranker import GROUPS
from tailorbird.slate.query import Query
from tests.models import toy
from tests.models.hybrid.asking import NOW, profile_of

PEOPLE = {f"user:p{n}": profile_of(n % 6, (n + 1) % 6, user=f"user:p{n}") for n in range(4)}


class Known:
    """A profile source that knows PEOPLE."""

    asked = 0

    def states_at(self, user_keys, instants):
        self.asked += len(user_keys)
        return [PEOPLE[key] for key in user_keys]


def exposures(model: HybridModel) -> list:
    recommender, found = recommender_of(model), []
    for number, (key, state) in enumerate(PEOPLE.items()):
        query = Query(state, NOW + number, k=4, context={"device": "mobile"})
        slate = recommender.recommend(query)
        found.append(
            exposure_of(
                slate,
                query,
                recommendation_id=f"r{number}",
                user_id=key.removeprefix("user:"),
                anonymous_id=None,
                session_id=None,
                scenario="home",
                arm="champion",
                inputs=recommender.stages.inputs(query, slate.found),
            )
        )
    return found


def lessons(model: HybridModel, slates: list, source: Known):
    shown = Shown.of(slates, [("r1", slates[1].items[2], "click", NOW)], worth={"click": 1.0})
    at = model.item_table
    return shown_slates(shown, model, profiles=source, table_at=lambda instant: at)


def test_what_the_exposure_lacks_is_made_again(model: HybridModel) -> None:
    source, slates = Known(), exposures(model)
    whole = lessons(model, slates, source)
    assert source.asked == 0
    bare = lessons(model, [replace(each, inputs=None) for each in slates], source)
    assert source.asked == len(PEOPLE)
    assert whole.gains.tolist() == bare.gains.tolist()
    assert whole.gains.sum() == whole.gains[1, 2] == 1.0
    for name in GROUPS:
        theirs, ours = getattr(whole, name), getattr(bare, name)
        if name == "item":  # of the beginning of the day, and these of the bundle
            continue
        assert ours == pytest.approx(theirs, abs=2e-3), name
    assert whole.real.all()


def test_what_no_model_of_these_sources_ranked_is_left_out(model: HybridModel) -> None:
    slates = exposures(model)
    renamed = replace(slates[0], source_names=("other", *slates[0].source_names[1:]))
    unknown = replace(slates[1], items=("gone", *slates[1].items[1:]))
    nobody = replace(slates[2], user_vector=np.zeros(0, np.float32))
    assert len(lessons(model, [renamed, unknown, nobody, slates[3]], Known())) == 1


def test_item_features_are_those_of_the_day_that_the_slate_was_shown(model: HybridModel) -> None:
    asked: list[float] = []

    def table_at(instant: float) -> ItemTable:
        asked.append(instant)
        return model.item_table

    slates = [
        replace(each, inputs=None, scored_at=NOW + day * 86_400.0, instant=NOW + day * 86_400.0)
        for day, each in zip((0, 0, 1, 3), exposures(model), strict=True)
    ]
    shown = Shown.of(slates, [], worth={})
    shown_slates(shown, model, profiles=Known(), table_at=table_at)
    first = NOW // 86_400.0 * 86_400.0
    assert asked == [first, first + 86_400.0, first + 3 * 86_400.0]
    assert toy.START < NOW
