"""A training pins the segments that are promoted: its bundle names and holds them, and figures and lists are of them."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from registry.following.pinned import segments_pinned_by, segments_to_pin
from registry.following.pointers import RegistryError
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import Bundle
from tailorbird.features.table import SEGMENT_FEATURES, USER_FEATURES
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.segments.model import Segment, SegmentModel, weights_of
from tailorbird.segments.pinned import pinned_version
from tailorbird.segments.signs import ALPHABETS, SIGNS
from tailorbird.segments.told import TOLD_SIGNS
from tailorbird.settings import Settings
from tailorbird.slate.past import queries_at
from tests.segments.carters import register_segments
from tests.training.toy import NOW, RECIPE, append, walks
from training.data.profiles import OfflineProfiles
from training.data.training_set import training_set
from training.evaluation.evaluate import evaluate
from training.fit.counted import counted_anew, learned_parts, seen_by
from training.fit.train import train

READING = RECIPE.override({"ranker.segments": True})
EDGE = 3.4345  # between the log prices of the last tea and of the first cup
CHEAP, DEAR = "chooses-cheap", "chooses-dear"


def by_price(*, dear: str = DEAR) -> SegmentModel:
    """Whoever clicks tea is cheap, whoever clicks cups is dear, as soon as two clicks were seen."""
    log_chances = np.zeros((2, SIGNS))
    price = ALPHABETS[-1][0]
    log_chances[:, price], log_chances[:, price + 1] = np.log([0.9, 0.1]), np.log([0.1, 0.9])
    weights = {
        "half_lives": (30 * 86_400.0, 3_600.0),
        "edges": np.concatenate([[EDGE], np.arange(90.0, 100.0)]),
        "log_chances": log_chances,
        "told": np.zeros((2, TOLD_SIGNS)),
        "bias": [0.0, 0.0],
        "slack": 0.5,
        "margin": 0.5,
        "least": 1.5,
    }
    segments = tuple(Segment(key, key, (key,), 0.5, 1.0, 1.0) for key in (CHEAP, dear))
    return SegmentModel(segments, weights_of(weights), method="toy")


def trained(settings: Settings, which: str = "champion", *, again: bool = False) -> Registered:
    pinned = segments_to_pin(settings, which)
    return train(
        training_set(settings), READING, settings=settings, seed=0, now=NOW, pinned=pinned, again=again
    ).registered


@pytest.fixture
def pinning(own_toy: Settings, tmp_path: Path) -> tuple[Settings, Registered, Bundle]:
    """A version trained while version 1 of the segment model is promoted, which then version 2 takes the place of."""
    register_segments(own_toy, by_price(), tmp_path)
    version = trained(own_toy)
    assert register_segments(own_toy, by_price(dear="renamed"), tmp_path) == "2"
    return own_toy, version, version.open()


def test_the_bundle_names_and_holds_the_segments_of_its_training(
    pinning: tuple[Settings, Registered, Bundle],
) -> None:
    settings, version, bundle = pinning
    theirs = Registry(settings, name=settings.segments_name).version(1).open().manifest
    assert bundle.manifest.segments == {
        "name": settings.segments_name,
        "version": "1",
        "digest": theirs.digest,
    }
    assert (
        bundle.manifest.files["model/segments/segments.npz"].sha256
        == theirs.files["model/segments.npz"].sha256
    )
    assert version.tags["segments"] == "1"
    assert bundle.model.pinned.model.keys == (CHEAP, DEAR)
    pinned = segments_pinned_by(settings, str(version.version))
    assert pinned is not None
    assert pinned.pin == bundle.model.pinned.pin
    assert bundle.model.text_space is not None  # what was read in fitting stays with what is extended


def test_lists_and_figures_are_of_the_learned_segments(pinning: tuple[Settings, Registered, Bundle]) -> None:
    settings, version, bundle = pinning
    lists = bundle.fallbacks.segments
    assert set(lists) == {CHEAP, DEAR}
    assert all(item.startswith("tea") for item in lists[CHEAP][:10])
    assert all(item.startswith("cup") for item in lists[DEAR][:10])
    slices = {name: each["cases"] for name, each in bundle.metrics["model"]["slices"].items()}
    assert (
        slices["segment:chooses-cheap"]
        + slices["segment:chooses-dear"]
        + slices.get("segment:not-known-yet", 0)
        == bundle.metrics["model"]["cases"]
    )
    registry = Registry(settings)
    run = registry.client.get_run(version.run_id)
    assert f"slice/segment:{CHEAP}/ndcg_at_10" in run.data.metrics
    card = Path(registry.client.download_artifacts(version.run_id, "card.md")).read_text()
    assert f"| segment:{DEAR} |" in card
    assert f"version 1 of `{settings.segments_name}`" in card


def test_the_label_is_that_of_the_pinned_version_whatever_is_promoted(
    pinning: tuple[Settings, Registered, Bundle],
) -> None:
    settings, _, bundle = pinning
    promoted = segments_to_pin(settings)
    assert promoted is not None
    assert promoted.model.keys == (CHEAP, "renamed")
    dataset = training_set(settings)
    query = queries_at(
        ["user:u0"],
        np.array([dataset.interactions.times.max() + 1.0]),
        profiles=OfflineProfiles(settings),
        people={},
        contexts=dataset.contexts,
        k=5,
    )[0]
    slate = recommender_of(bundle.model).recommend(query)
    said = dict(zip(USER_FEATURES + SEGMENT_FEATURES, slate.user_vector.tolist(), strict=True))
    assert (said["segment_known"], said["segment_in_1"], said["segment_in_2"]) == (1.0, 0.0, 1.0)


def test_another_promoted_version_is_another_training(pinning: tuple[Settings, Registered, Bundle]) -> None:
    settings, version, _ = pinning
    assert trained(settings, "1").version == version.version
    other = trained(settings)
    assert (other.version, other.tags["segments"]) == (version.version + 1, "2")
    none = trained(settings, "none")
    assert (none.version, none.tags["segments"]) == (version.version + 2, "none")
    assert none.open().manifest.segments == {}
    assert none.open().model.pinned is None


def test_newer_events_are_asked_by_segment_too(pinning: tuple[Settings, Registered, Bundle]) -> None:
    settings, _, bundle = pinning
    append(
        settings,
        walks(30, days=5.0, seed=9, first=500).assign(
            event_time=lambda log: log["event_time"] + np.timedelta64(60, "D"),
            received_time=lambda log: log["received_time"] + np.timedelta64(60, "D"),
        ),
    )
    found = evaluate(bundle, training_set(settings), settings=settings, least=10)
    assert found.measured is not None
    assert {f"segment:{CHEAP}", f"segment:{DEAR}"} < set(found.measured.report.slices)


def test_where_nothing_is_promoted_nothing_is_pinned(own_toy: Settings) -> None:
    assert segments_to_pin(own_toy) is None
    assert pinned_version(None) == "none"
    with pytest.raises(RegistryError, match="no alias 'shadow'"):
        segments_to_pin(own_toy, "shadow")


def test_counts_of_learned_segments_made_anew_without_nobody_are_the_same(pinning) -> None:
    settings, _, bundle = pinning
    until = dt.datetime.fromisoformat(bundle.manifest.data_span[1]).timestamp()
    own = seen_by(bundle.model, training_set(settings), until=until, settings=settings)
    again = counted_anew(bundle.model, own).popularity
    assert again.segments == bundle.model.popularity.segments
    assert {CHEAP, DEAR} <= set(again.segments)
    np.testing.assert_allclose(again.table, bundle.model.popularity.table, atol=1e-7)
    assert learned_parts(bundle.model) == ["ranker", "segments"]
