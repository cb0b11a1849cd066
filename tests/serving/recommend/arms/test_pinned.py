"""A model that pins segments answers by its own version of them, and its exposures prove it, whatever is promoted beside it."""

from pathlib import Path

import pytest

from tailorbird.bundle import BUNDLE_PATH
from tailorbird.exposures.command import parity_of
from tailorbird.features.table import SEGMENT_FEATURES, USER_FEATURES
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import Pin, PinnedSegments
from tests.segments.carters import CARTS, LOOKS, carters, register_segments
from tests.serving.recommend.request.test_asked import ask
from tests.serving.recommend.slate.test_segments import deeds, fill_carts
from tests.serving.shop import write_shop_bundle
from tests.serving.world import World

RECIPE = Recipe.of(
    {
        "name": "segments",
        "width": 8,
        "sources": ["popularity"],
        "popularity": {"segment_events": 1},
        "ranker": {"cases": 50, "epochs": 3, "segments": True},
    }
)
PINNED = PinnedSegments(Pin("toy.segments", "7", "abc"), carters())


@pytest.fixture
def pinning(world: World, tmp_path: Path) -> World:
    """The toy world with a champion that pins segments; what is promoted calls one of them otherwise."""
    folder = tmp_path / "pinning"
    write_shop_bundle(world.settings, folder / BUNDLE_PATH, recipe=RECIPE, pinned=PINNED)
    version = world.registry.client.create_model_version(world.registry.name, source=str(folder)).version
    world.point(str(version))
    world.check()
    assert world.served.champion.version == str(version), world.served.troubles()
    register_segments(world.settings, carters(carts="renamed"), tmp_path)
    world.segments.check()
    return world


def newest(world: World) -> dict[str, float]:
    """The features of the answer given last."""
    vector = max(world.stored(), key=lambda each: each.recommendation_id).user_vector
    return dict(zip(USER_FEATURES + SEGMENT_FEATURES, vector.tolist(), strict=True))


def test_the_ranker_reads_the_pinned_version_while_the_answer_names_the_promoted_one(pinning: World) -> None:
    assert ask(pinning, explain=True).json()["segment"]["key"] == ""
    deeds(pinning, "view", "i9", "i10", "i11")
    assert ask(pinning, explain=True).json()["segment"]["key"] == LOOKS
    fill_carts(pinning)
    answer = ask(pinning, explain=True).json()
    assert answer["segment"]["key"] == "renamed"
    assert answer["fallback"] is None
    pinning.exposures.close()
    said = newest(pinning)
    assert (said["segment_in_1"], said["segment_in_2"]) == (0.0, 1.0)
    assert pinning.served.champion.pinned is not None
    assert CARTS in pinning.served.champion.pinned.model.keys
    found = parity_of(pinning.settings, limit=10)
    assert (found.checked, found.holds) == (3, True), found


def test_parity_fails_where_an_answer_used_another_segment(
    pinning: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is made again by the bundle's own segments: what serving saw otherwise is found out."""
    other = PINNED.placed(pinning.profile("user:nobody"))
    monkeypatch.setattr(PinnedSegments, "placed", lambda *args: other)
    deeds(pinning, "view", "i9", "i10", "i11")
    ask(pinning)
    pinning.exposures.close()
    monkeypatch.undo()
    found = parity_of(pinning.settings, limit=10)
    assert len(found.differing) == 1
    assert found.differing[0].feature in SEGMENT_FEATURES
