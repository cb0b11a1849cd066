"""Versions never change, aliases move one at a time, and the way back is always known."""

import datetime as dt
import json
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from registry.tracking.runs import Tracker
from registry.versions import Decision, Registered, Registry, RegistryError
from tailorbird.bundle import Fallbacks, Origin, open_bundle, write_bundle
from tailorbird.settings import Settings

NOW = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)


class Scores:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def save(self, folder: Path) -> None:
        np.save(folder / "values.npy", self.values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "values.npy", allow_pickle=False))


def decided(why: str) -> Decision:
    return Decision(who="ada", when=NOW, why=why, figures={"ndcg@10": 0.2})


def register(registry: Registry, settings: Settings, tmp_path: Path, value: float) -> Registered:
    folder = tmp_path / f"bundle-{value}"
    manifest = write_bundle(
        Scores(np.array([value])), folder, origin=Origin(name="t"), metrics={}, fallbacks=Fallbacks(), now=NOW
    )
    with Tracker.open(settings).start("train") as run:
        return registry.register(folder, run=run, manifest=manifest, tags={"stage": "test"})


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


def bare_versions(registry: Registry, settings: Settings, count: int) -> None:
    """Versions without artifacts, for tests of aliases only."""
    run = Tracker.open(settings).start("train")
    registry.client.create_registered_model(registry.name)
    for _ in range(count):
        registry.client.create_model_version(registry.name, source=str(settings.mlruns), run_id=run.run_id)


def test_a_registered_bundle_opens_by_number_latest_and_alias(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    first = register(registry, settings, tmp_path, 1.0)
    second = register(registry, settings, tmp_path, 2.0)
    assert (first.version, second.version) == (1, 2)
    registry.move("champion", 1, decision=decided("first"))
    for which, value in (("1", 1.0), ("2", 2.0), ("latest", 2.0), ("champion", 1.0), ("@champion", 1.0)):
        bundle = open_bundle(registry.version(which).folder, load=Scores.load)
        assert bundle.model.values[0] == value
    assert registry.version("latest").tags["stage"] == "test"
    assert registry.version(1).tags["bundle"] == open_bundle(first.folder, load=Scores.load).version


def test_the_decision_is_a_tag_of_the_version_and_of_its_run(registry: Registry, settings: Settings) -> None:
    bare_versions(registry, settings, 1)
    registry.move("champion", 1, decision=decided("better by far"))
    version = registry.version("champion")
    for tags in (version.tags, registry.client.get_run(version.run_id).data.tags):
        assert tags["champion.who"] == "ada"
        assert tags["champion.when"] == "2026-03-04T00:00:00+00:00"
        assert tags["champion.why"] == "better by far"
        assert json.loads(tags["champion.figures"]) == {"ndcg@10": 0.2}


def test_rollback_walks_back_through_what_the_alias_was(registry: Registry, settings: Settings) -> None:
    bare_versions(registry, settings, 3)
    for version in (1, 3, 2):
        registry.move("champion", version, decision=decided("p"))
    assert registry.return_alias("champion", decision=decided("bad")) == (2, 3)
    assert registry.return_alias("champion", decision=decided("bad")) == (3, 1)
    with pytest.raises(RegistryError, match="no earlier version"):
        registry.return_alias("champion", decision=decided("bad"))
    assert registry.version("champion").version == 1
    assert registry.version(2).tags["champion.left.why"] == "bad"


def test_moving_an_alias_to_where_it_is_changes_nothing(registry: Registry, settings: Settings) -> None:
    bare_versions(registry, settings, 2)
    registry.move("champion", 1, decision=decided("p"))
    assert registry.move("champion", 1, decision=decided("again")) == 1
    assert registry.past("champion") == [1]
    assert registry.version(1).tags["champion.why"] == "p"


def test_a_version_deleted_since_is_passed_over_by_rollback(registry: Registry, settings: Settings) -> None:
    bare_versions(registry, settings, 3)
    for version in (1, 2, 3):
        registry.move("champion", version, decision=decided("p"))
    registry.client.delete_model_version(registry.name, "2")
    assert registry.return_alias("champion", decision=decided("bad")) == (3, 1)


def test_an_interrupted_move_leaves_the_way_back_right(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare_versions(registry, settings, 3)
    registry.move("champion", 1, decision=decided("p"))
    registry.move("champion", 2, decision=decided("p"))

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry.client, "set_registered_model_alias", cut)
        with pytest.raises(KeyboardInterrupt):
            registry.move("champion", 3, decision=decided("p"))
    assert registry.version("champion").version == 2
    assert registry.return_alias("champion", decision=decided("bad")) == (2, 1)


def test_what_is_not_there_is_named_with_a_remedy(registry: Registry, settings: Settings) -> None:
    for which in ("champion", "7", "latest"):
        with pytest.raises(RegistryError) as missing:
            registry.version(which)
        assert "tailorbird train" in str(missing.value)
    with pytest.raises(RegistryError, match="not set"):
        registry.return_alias("champion", decision=decided("x"))
    bare_versions(registry, settings, 1)
    with pytest.raises(RegistryError, match="no alias"):
        registry.move("7", 1, decision=decided("x"))


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(moves=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_rollback_undoes_moves_like_a_stack(registry: Registry, settings: Settings, moves: list[int]) -> None:
    """0 means roll back, 1 to 3 promote; a plain list is the model of what must happen."""
    alias = f"a{id(moves)}-{len(moves)}"
    if registry.client.search_registered_models() == []:
        bare_versions(registry, settings, 3)
    stack: list[int] = []
    for move in moves:
        if move:
            registry.move(alias, move, decision=decided("p"))
            if stack[-1:] != [move]:
                stack.append(move)
        elif len(stack) > 1:
            registry.return_alias(alias, decision=decided("r"))
            stack.pop()
        else:
            with pytest.raises(RegistryError):
                registry.return_alias(alias, decision=decided("r"))
    found = registry.alias(alias)
    assert (found.version if found else None) == (stack[-1] if stack else None)
