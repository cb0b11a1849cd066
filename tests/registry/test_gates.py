"""A damaged bundle, an unsound answer and a worse figure are each refused, and named."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.gates import answer_gate, bundle_gate, quality_gate
from registry.versions import Registry
from tailorbird.bundle import open_bundle
from tailorbird.settings import Settings
from tailorbird.slate.query import Candidates, Query, Ranking


def test_a_damaged_bundle_does_not_become_champion(
    store: Settings, registry: Registry, tmp_path: Path
) -> None:
    version = registry.version(1)
    shutil.copytree(version.folder, tmp_path / "bundle")
    weights = next((tmp_path / "bundle" / "model").rglob("*.npy"))
    weights.write_bytes(weights.read_bytes()[:-1])
    gate, bundle = bundle_gate(lambda: open_bundle(tmp_path / "bundle"))
    assert not gate.passed
    assert bundle is None
    assert weights.name in gate.found


class Stubborn:
    """A recommender that always ranks the same rows, whatever was asked."""

    def __init__(self, rows: list[int], score: float) -> None:
        self.rows, self.score = np.array(rows, np.int64), score

    def screen(self, query: Query) -> None:
        return None

    def rank(self, queries: Sequence[Query], screens: Sequence[None]) -> list[Ranking]:
        scores = np.full(len(self.rows), self.score, np.float32)
        found = Candidates(self.rows, (), np.zeros((len(self.rows), 0), np.int32))
        return [Ranking(found, scores, np.zeros(0, np.float32)) for _ in queries]


@pytest.mark.parametrize(
    ("rows", "score", "trouble"),
    [
        ([], 1.0, "no item"),
        ([40, 40], 1.0, "twice"),
        ([40, 0], 1.0, "has seen"),
        ([40, 99], 1.0, "in a catalogue of"),
        ([40, 41], float("nan"), "no number"),
    ],
)
def test_an_unsound_answer_is_refused(
    store: Settings, monkeypatch: pytest.MonkeyPatch, rows: list[int], score: float, trouble: str
) -> None:
    bundle = open_bundle(Registry(store).version(1).folder)
    assert answer_gate(bundle).passed
    monkeypatch.setattr("registry.answers.recommender_of", lambda model: Stubborn(rows, score))
    gate = answer_gate(bundle)
    assert not gate.passed
    assert trouble in gate.found


def test_quality_is_judged_on_common_cases_only() -> None:
    rng = np.random.default_rng(0)
    ours = pd.DataFrame(
        {
            "case": np.arange(400),
            "user_id": [f"u{n % 40}" for n in range(400)],
            "rank": rng.integers(1, 30, 400),
        }
    ).astype({"rank": float})
    worse = ours.assign(rank=ours["rank"] * 3)
    assert quality_gate(ours, None).passed
    assert quality_gate(ours, ours).passed
    assert quality_gate(ours, worse).passed
    assert not quality_gate(worse, ours).passed
    strangers = ours.assign(case=ours["case"] + 350)
    found = quality_gate(ours, strangers)
    assert not found.passed
    assert "only 50 common cases" in found.found
