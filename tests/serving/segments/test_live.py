"""The segment model of a replica follows its alias: nothing, a version, another, and a damaged one that changes nothing."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from registry.versions.versions import Registry
from serving.segments.live import RETRY_SECONDS, LiveSegments
from tailorbird.settings import Settings, load_settings
from tests.registry.bundles import Scores
from tests.segments.carters import carters, damage, register_segments


@pytest.fixture
def settings(mlflow_schema: Path, tmp_path: Path) -> Settings:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(mlflow_schema, tmp_path / "mlruns" / "mlflow.db")
    return load_settings(
        home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="toy", alias_poll_seconds=0.02
    )


def point(settings: Settings, version: str | None) -> None:
    registry = Registry(settings, name=settings.segments_name)
    if version is None:
        registry.client.delete_registered_model_alias(registry.name, "champion")
    else:
        registry.client.set_registered_model_alias(registry.name, "champion", version)


def test_without_a_promoted_model_there_are_no_segments(settings: Settings) -> None:
    live = LiveSegments(settings)
    live.check()
    assert (live(), live.keys, live.trouble) == (None, (), "")


def test_the_alias_is_followed_there_and_back_and_away(settings: Settings, tmp_path: Path) -> None:
    live = LiveSegments(settings)
    register_segments(settings, carters(method="one"), tmp_path)
    live.check()
    first = live()
    live.check()
    assert live() is first  # what is loaded is not loaded again
    register_segments(settings, carters(method="two"), tmp_path)
    live.check()
    assert [(each.version, each.model.method) for each in (first, live()) if each] == [
        ("1", "one"),
        ("2", "two"),
    ]
    point(settings, "1")
    live.check()
    assert live() is not None
    assert live().version == "1"  # type: ignore[union-attr]
    point(settings, None)
    live.check()
    assert (live(), live.trouble) == (None, "")


def test_a_damaged_version_leaves_the_former_and_is_tried_again_later(
    settings: Settings, tmp_path: Path
) -> None:
    clock = [0.0]
    live = LiveSegments(settings, clock=lambda: clock[0])
    register_segments(settings, carters(), tmp_path)
    live.check()
    former = live()
    register_segments(settings, carters(), tmp_path)
    damage(tmp_path)
    live.check()
    assert live() is former
    assert "version 2 of the segment model is refused, version 1 goes on" in live.trouble
    damage(tmp_path)  # the same bit once more: it is whole
    live.check()
    assert live() is former  # left alone for a while
    clock[0] = RETRY_SECONDS
    live.check()
    assert (live().version, live.trouble) == ("2", "")  # type: ignore[union-attr]


def test_what_is_no_segment_model_is_refused(settings: Settings, tmp_path: Path) -> None:
    live = LiveSegments(settings)
    register_segments(settings, Scores(np.zeros(1)), tmp_path)
    live.check()
    assert live() is None
    assert "people are in no segment" in live.trouble


def test_a_registry_that_is_away_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    live = LiveSegments(settings)
    register_segments(settings, carters(), tmp_path)
    live.check()
    former, database = live(), settings.mlruns / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"this is no database" * 1000)
    live.check()
    assert live() is former
    assert "the registry of segments is away" in live.trouble
    database.write_bytes(content)
    live.check()
    assert (live(), live.trouble) == (former, "")


def test_the_watcher_sees_a_move_by_itself(settings: Settings, tmp_path: Path) -> None:
    live = LiveSegments(settings)
    live.start()
    try:
        assert live() is None
        register_segments(settings, carters(), tmp_path)
        deadline = time.monotonic() + 20
        while live() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert live() is not None
        assert live.thread is not None
        assert live.thread.alive
    finally:
        live.close()
    assert live.thread is not None
    live.thread.join(5)
