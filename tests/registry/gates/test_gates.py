"""What the gates demand is data, and what they refuse is named: damage, an unsound answer, a worse figure, too few cases."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.gates.gatekeeper import serviceable
from registry.gates.gates import DEFAULT, Gates, OffPolicy, Quality, Smoke, gates_of, load_gates
from registry.gates.off_policy import off_policy_finding
from registry.gates.quality import quality_finding
from registry.gates.smoke import smoke_finding
from registry.versions.versions import Registry
from tailorbird.catalog.catalog import Catalog
from tailorbird.errors import UsageError
from tailorbird.settings import Settings
from tailorbird.slate.fallback import FallbackChain
from tailorbird.slate.query import Query, Slate, SlateItem
from tailorbird.slate.recommender import Recommender
from tailorbird.slate.shelf import Shelf

GATES = load_gates(DEFAULT)
CATALOG = Catalog.of_ids([f"i{n}" for n in range(50)])


class Stubborn(Recommender):
    """A recommender that always answers the same, whatever was asked."""

    answer: Slate

    @classmethod
    def saying(cls, ids: Sequence[str], *, score: float = 1.0, failure: str = "") -> "Stubborn":
        made = cls(name="stubborn", version="1", shelf=Shelf.of(CATALOG), chain=FallbackChain.of(CATALOG))
        items = tuple(SlateItem(item, score, ()) for item in ids)
        object.__setattr__(made, "answer", Slate(items, "stubborn", "1", failure=failure))
        return made

    def recommend_many(self, queries: Sequence[Query]) -> list[Slate]:
        return [self.answer for _ in queries]


@pytest.mark.parametrize(
    ("ids", "score", "failure", "trouble"),
    [
        ([], 1.0, "", "no item"),
        (["i40", "i40"], 1.0, "", "twice"),
        (["i40", "i0"], 1.0, "", "a visitor: an item the visitor has seen"),
        (["i40", "i99"], 1.0, "", "the catalogue lacks: i99"),
        (["i40", "i41"], float("nan"), "", "no number"),
        (["i40"], 1.0, "Traceback ...\nValueError: torn weights", "a newcomer: ValueError: torn weights"),
    ],
)
def test_an_unsound_answer_is_refused(ids: list[str], score: float, failure: str, trouble: str) -> None:
    found = smoke_finding(Stubborn.saying(ids, score=score, failure=failure), smoke=Smoke(4, 1e9), now=0.0)
    assert not found.passed
    assert trouble in found.found


def test_answers_that_take_too_long_are_refused() -> None:
    ticks = iter(np.arange(0.0, 100.0, 0.3))
    slow = smoke_finding(
        Stubborn.saying(["i49"]), smoke=Smoke(4, 299.0), now=0.0, clock=lambda: float(next(ticks))
    )
    assert not slow.passed
    assert "the median of 4 requests took 300 ms, 299 are allowed" in slow.found
    quick = smoke_finding(
        Stubborn.saying(["i49"]), smoke=Smoke(4, 301.0), now=0.0, clock=lambda: float(next(ticks))
    )
    assert quick.passed


def test_a_trained_version_is_serviceable_and_a_damaged_one_is_not(store: Settings, tmp_path: Path) -> None:
    import shutil

    version = Registry(store).version(1)
    assert [finding.passed for finding in serviceable(version, gates=GATES)] == [True, True]
    shutil.copytree(version.folder.parents[1], tmp_path / "model")
    damaged = replace(version, source=str(tmp_path / "model"))
    weights = next((damaged.folder / "model").rglob("*.npy"))
    weights.write_bytes(weights.read_bytes()[:-1])
    (finding,) = serviceable(damaged, gates=GATES)
    assert not finding.passed
    assert finding.final
    assert weights.name in finding.found


def case_table(ranks: np.ndarray, *, start: int = 0) -> pd.DataFrame:
    cases = np.arange(start, start + len(ranks))
    return pd.DataFrame(
        {
            "case": cases,
            "user_id": [f"u{n % 200}" for n in cases],
            "target": "i1",
            "rank": ranks.astype(float),
        }
    )


RANKS = np.random.default_rng(0).integers(1, 12, 2000)


def judged(candidate: pd.DataFrame, champion: pd.DataFrame, **changes: object) -> tuple[str, bool, str]:
    quality: Quality = replace(GATES.quality, **changes)  # type: ignore[arg-type]
    found = quality_finding(candidate, champion, quality=quality, fill="tailorbird evaluate --version 1")
    return found.verdict, found.passed, f"{found.found} | {found.remedy}"


def test_four_verdicts_and_what_each_one_says() -> None:
    champion = case_table(RANKS)
    assert judged(champion, champion)[:2] == ("not worse", True)
    assert judged(case_table(np.maximum(RANKS - 3, 1)), champion)[:2] == ("better", True)
    assert judged(case_table(RANKS * 3), champion)[:2] == ("worse", False)
    some = RANKS[:300]
    verdict, passed, words = judged(case_table(np.random.default_rng(1).permutation(some)), case_table(some))
    assert (verdict, passed) == ("cannot tell", False)
    assert "cases would most likely tell" in words
    assert "tailorbird evaluate --version 1" in words


def test_only_common_cases_count_and_too_few_name_the_command() -> None:
    champion = case_table(RANKS)
    verdict, passed, words = judged(case_table(RANKS, start=1950), champion)
    assert (verdict, passed) == ("cannot tell", False)
    assert "only 50 common cases with the present version, 100 are needed" in words
    assert "`tailorbird evaluate --version 1` asks the cases that are missing" in words
    shuffled = case_table(RANKS).sample(frac=1.0, random_state=1)
    assert judged(pd.concat([shuffled, case_table(RANKS * 100, start=5000)]), champion)[0] == "not worse"


def test_metric_margin_and_confidence_are_obeyed() -> None:
    champion, slightly = case_table(RANKS), case_table(np.where(np.arange(2000) % 40 == 0, 11, RANKS))
    assert judged(slightly, champion, margin=0.2)[0] == "not worse"
    assert judged(slightly, champion, margin=0.001)[0] == "worse"
    assert judged(slightly, champion, metric="hr@100", margin=0.0)[0] == "not worse"


def test_a_workspace_overrides_single_keys(settings: Settings) -> None:
    assert gates_of(settings) == load_gates(DEFAULT)
    settings.folder.mkdir(parents=True)
    (settings.folder / "gates.toml").write_text('[quality]\nmetric = "mrr@20"\nmargin = 0\n')
    own = gates_of(settings)
    assert (own.quality.metric, own.quality.margin, own.quality.confidence) == ("mrr@20", 0, 0.95)
    assert own.quality.name_and_cut == ("mrr", 20)
    assert own.source == settings.folder / "gates.toml"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[quality]\nmargn = 0.1", "unknown key 'quality.margn'"),
        ("[speed]\nms = 1", "unknown key 'speed'"),
        ("smoke = 3", "unknown key 'smoke'"),
        ("[quality]\nmargin = 1.5", "quality.margin = 1.5"),
        ("[quality]\nmargin = true", "quality.margin = True"),
        ('[quality]\nmetric = "ndgc@10"', "quality.metric = 'ndgc@10'"),
        ('[quality]\nmetric = "ndcg@500"', "quality.metric = 'ndcg@500'"),
        ("[quality]\nconfidence = 1.0", "quality.confidence = 1.0"),
        ("[quality]\nleast_cases = 0.5", "quality.least_cases = 0.5"),
        ("[smoke]\nrequests = 0", "smoke.requests = 0"),
        ("[quality", "cannot be read"),
    ],
)
def test_gates_that_mean_nothing_are_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "gates.toml").write_text(text)
    with pytest.raises(UsageError, match="gates") as refused:
        load_gates(tmp_path / "gates.toml")
    assert named in refused.value.what
    assert refused.value.remedy


def test_the_shipped_gates_hold_every_key() -> None:
    assert Gates(GATES.smoke, GATES.quality, GATES.off_policy) == GATES
    assert GATES.quality == Quality("ndcg@10", 0.05, 0.95, 100)


@pytest.mark.parametrize(
    ("stored", "passed", "words"),
    [
        (
            {"value": 0.5, "low": 0.4, "high": 0.6, "logged": 0.6, "slates": 900},
            True,
            "900 answers that earned 0.6",
        ),
        (
            {"value": 0.5, "low": 0.4, "high": 0.53, "logged": 0.6, "slates": 900},
            False,
            "0.54 must be possible",
        ),
        (
            {"refusal": "the log hardly ever shows what the arm would", "slates": 9},
            True,
            "cannot tell: the log hardly",
        ),
    ],
)
def test_our_own_answers_refuse_only_what_is_worse_for_sure(stored: dict, passed: bool, words: str) -> None:
    found = off_policy_finding(json.dumps(stored), rules=OffPolicy(margin=0.1))
    assert found.passed is passed
    assert words in found.found
    assert bool(found.remedy) is not passed
