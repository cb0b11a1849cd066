"""The Feast definitions come from the feature table, and Feast's own command finds them and nothing else."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from feast.repo_operations import get_ignore_files, get_repo_files

import feature_repo
from feature_repo import layout
from feature_repo.config import repo_config
from feature_repo.store import FeatureStoreRoom
from tailorbird.features.table import SEGMENT_FEATURES, STORED_ITEM, STORED_USER, USER_FEATURES
from tailorbird.settings import Settings

FOLDER = Path(feature_repo.__file__).parent


def test_every_stored_feature_is_a_field_of_its_view(room: FeatureStoreRoom) -> None:
    for name, stored in (("user_profile", STORED_USER), ("item_profile", STORED_ITEM)):
        view = room.feast.get_feature_view(name)
        assert [field.name for field in view.features] == [feature.name for feature in stored]
        assert all(field.description for field in view.features)
    assert {entity.name for entity in room.feast.list_entities()} == {"user", "item"}
    service = room.feast.get_feature_service("recommend")
    assert service.tags["derived"].split() == [*USER_FEATURES, *SEGMENT_FEATURES]


def test_applying_again_changes_nothing(settings: Settings, room: FeatureStoreRoom) -> None:
    room.apply()
    assert len(room.feast.list_feature_views()) == 2


def test_feast_imports_only_the_definitions() -> None:
    files = get_repo_files(FOLDER)
    assert [file.name for file in files] == ["repo.py"]
    assert len(get_ignore_files(FOLDER, [])) >= 0


def test_the_yaml_says_what_the_settings_say(settings: Settings) -> None:
    written = yaml.safe_load((FOLDER / "feature_store.yaml").read_text())
    made = repo_config(settings)
    assert written["online_store"]["type"] == made.online_store.type
    assert written["offline_store"]["type"] == made.offline_store.type
    assert written["entity_key_serialization_version"] == made.entity_key_serialization_version
    assert written["materialization"]["pull_latest_features"] is True
    assert made.materialization_config.pull_latest_features is True


def test_the_registry_holds_no_code(settings: Settings, room: FeatureStoreRoom) -> None:
    registry = (settings.feature_folder / "registry.pb").read_bytes()
    assert b"user_profile" in registry
    assert b"dill" not in registry
    assert room.feast.list_on_demand_feature_views() == []


@pytest.mark.slow
def test_importing_feast_leaves_metrics_and_environment_as_they_were() -> None:
    code = (
        "import os, feature_repo.store, prometheus_client.values as values;"
        "print([name for name in os.environ if name.startswith('PROMETHEUS')], values.ValueClass.__name__)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[] MutexValue"


def test_what_records_mean_is_part_of_the_layout(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = layout.layout_digest(settings)
    monkeypatch.setattr(layout, "MEANING", layout.MEANING + 1)
    assert layout.layout_digest(settings) != before


def test_a_changed_description_leaves_every_row_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = layout.layout_digest(settings)
    told = tuple(replace(feature, description="in other words", window="") for feature in layout.STORED_USER)
    monkeypatch.setattr(layout, "STORED_USER", told)
    assert layout.layout_digest(settings) == before
    monkeypatch.setattr(layout, "STORED_USER", (*told[:-1], replace(told[-1], dtype="bytes")))
    assert layout.layout_digest(settings) != before


def test_feast_sends_nothing_home() -> None:
    """Feast once reported usage: no module of it may name its old endpoint or switch."""
    code = (
        "import importlib.util, pathlib; root = pathlib.Path(importlib.util.find_spec('feast').origin).parent;"
        "print([str(f) for f in root.rglob('*.py') if 'usage.feast.dev' in f.read_text() or 'FEAST_USAGE' in f.read_text()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
