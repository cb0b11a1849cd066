"""How answers of a shadow compare, how that is added up by many, and what the readout says of it."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.deciding.told import told_of
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.reading.verdict import Decision
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.shadow.comparing import MISSING, Sums, compared, kendall
from tailorbird.experiments.shadow.reading import ratio, read_shadow, verdict_of
from tailorbird.experiments.shadow.tallies import GROUPS, TALLIES_FILE, Tallies
from tailorbird.settings import load_settings
from tailorbird.slate.query import Slate, SlateItem

KEY = "next"
SAID: dict[str, Any] = {
    "hypothesis": "it can answer",
    "kind": "shadow",
    "variants": {"usual": {}, "newer": {"version": "2"}},
}


def slate(items: str, **more: Any) -> Slate:
    return Slate(tuple(SlateItem(item, 0.0, ()) for item in items), "toy", "1", **more)


def entry() -> Entry:
    return Entry(experiment_of(KEY, SAID, where=KEY), "running", 1, (), 0.0, None, None, "", SAID)


@given(st.permutations("abcdef"))
def test_the_order_of_shared_items_is_compared_as_kendalls_tau(order):
    expected = kendalltau(range(6), [order.index(item) for item in "abcdef"]).statistic
    assert kendall("abcdef", order) == pytest.approx(expected)
    assert kendall("abcdef", ["x", *order, "y"]) == pytest.approx(expected)


def test_two_answers_are_compared_item_by_item_and_in_time():
    found = compared(slate("abcd"), slate("acxy"), seconds=0.004, control_seconds=0.002)
    assert (found.asked, found.compared, found.overlap, found.same_first) == (1, 1, 0.5, 1)
    assert (found.correlated, found.correlation) == (1, 1.0)
    assert (found.seconds, found.control_seconds) == (0.004, 0.002)
    assert found.log_ratio == pytest.approx(np.log(2))
    assert compared(slate("ab"), slate("xy"), seconds=1, control_seconds=1).correlated == 0


@pytest.mark.parametrize("broken", [slate("", failure="no"), slate("ab", failure="no"), slate("")])
def test_an_answer_that_failed_is_not_compared(broken):
    found = compared(broken, slate("ab"), seconds=1.0, control_seconds=1.0)
    assert (found.asked, found.failed, found.compared, found.seconds) == (
        1,
        float(bool(broken.failure)),
        0,
        0,
    )
    turned = compared(slate("ab"), broken, seconds=1.0, control_seconds=1.0)
    assert (turned.control_failed, turned.failed, turned.compared) == (float(bool(broken.failure)), 0, 0)


def test_lists_that_fill_places_are_told_of_and_a_cold_start_is_none():
    found = compared(
        slate("ab", fallback="everyone"), slate("ab", fallback="cold_start"), seconds=1, control_seconds=1
    )
    assert (found.fallbacks, found.control_fallbacks) == (1, 0)


def test_what_many_add_is_added_up(tmp_path):
    def add() -> None:
        for _ in range(20):
            Tallies(tmp_path).add({(KEY, 3): Sums(asked=1.0, overlap=0.25)}, {KEY: 2})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    Tallies(tmp_path).add({("other", 3): Sums(asked=9.0)}, {})
    found = Tallies(tmp_path).of(KEY)
    assert found.sums[3, Sums._fields.index("asked")] == 80
    assert found.sums[3, Sums._fields.index("overlap")] == 20.0
    assert found.sums.sum() == 100
    assert found.dropped == 160


def test_reading_makes_nothing_and_a_file_that_is_no_database_is_named(tmp_path):
    assert not Tallies(tmp_path).of(KEY).sums.any()
    assert not list(tmp_path.iterdir())
    (tmp_path / TALLIES_FILE).write_bytes(b"this is no database" * 1_000)
    with pytest.raises(TailorbirdError, match=TALLIES_FILE):
        Tallies(tmp_path).of(KEY)


def test_intervals_are_of_groups_of_people():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        own = rng.normal(0.5, 0.1, GROUPS)  # people of a group are alike
        answers = rng.integers(50, 150, GROUPS).astype(float)
        interval = ratio(answers * own, answers, confidence=0.95).interval
        assert interval is not None
        covered.append(interval[0] < 0.5 < interval[1])
    assert 0.92 < np.mean(covered) < 0.98


def tally(
    tmp_path: Path,
    *,
    answers: int = 400,
    failed: float = 0.0,
    slower: float = 1.0,
    missing: int = 0,
    dropped: int = 0,
):
    rng, tallies = np.random.default_rng(1), Tallies(tmp_path)
    sums: dict[tuple[str, int], Sums] = {}
    for n in range(answers):
        took = float(rng.gamma(20, 1e-4))
        fails = rng.random() < failed
        found = compared(
            slate("abcd", failure="no" if fails else ""),
            slate("abdx"),
            seconds=slower * took * float(rng.uniform(0.9, 1.1)),
            control_seconds=took,
        )
        sums[KEY, n % GROUPS] = sums.get((KEY, n % GROUPS), Sums()).plus(found)
    for n in range(missing):
        sums[KEY, n % GROUPS] = sums[KEY, n % GROUPS].plus(MISSING)
    tallies.add(sums, {KEY: dropped})
    return read_shadow(entry(), tallies.of(KEY), now=1.0)


@pytest.mark.parametrize(
    ("more", "decision", "words"),
    [
        ({}, Decision.WEIGH, "newer answers as well as usual"),
        ({"slower": 1.1}, Decision.WEIGH, "in 1.10 times the processor's time"),
        ({"slower": 2.0}, Decision.KEEP, "is not fit to be shown: an answer takes"),
        ({"failed": 0.1}, Decision.KEEP, "of its answers fail instead of 0 %"),
        ({"missing": 60}, Decision.KEEP, "60 for want of its version"),
        ({"answers": 60}, Decision.CANNOT_TELL, "100 are the least"),
    ],
)
def test_the_verdict_in_words(tmp_path, more, decision, words):
    verdict = verdict_of(tally(tmp_path, **more))
    assert verdict.decision is decision
    assert words in verdict.words


def test_figures_of_a_known_tally(tmp_path):
    found = tally(tmp_path, slower=1.5, dropped=7)
    assert (found.asked, found.compared, found.dropped) == (400, 400, 7)
    assert found.overlap.value == pytest.approx(0.75)
    assert found.correlation.value == pytest.approx(1.0)
    assert found.latency_ratio.interval is not None
    assert found.latency_ratio.interval[0] < 1.5 < found.latency_ratio.interval[1]
    assert found.typical_ratio.value == pytest.approx(1.5, rel=0.02)


def test_a_workspaces_shadow_is_told_whole(tmp_path):
    settings = load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")
    Ledger(settings.folder).start(entry().experiment, SAID, at=1.0, who="ann")
    with pytest.raises(UsageError, match="asked nothing yet"):
        told_of(settings, KEY)
    tally(settings.folder, dropped=900)
    told = told_of(settings, KEY)
    assert told.shown["overlap"]["value"] == pytest.approx(0.75)
    assert json.loads(json.dumps(told.shown)) == told.shown
    assert any("900 of 1,300 questions were dropped" in note for note in told.notes)
    assert "newer answers as well as usual" in told.page()
    assert len(told.rows) == 11


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"metrics": {"primary": "clicks_per_slate", "minimum_effect": 0.1}}, "a shadow has none"),
        (
            {"variants": {"usual": {"slate": {"depth": 9}}, "newer": {"version": "2"}}},
            "compared with the champion",
        ),
        (
            {"variants": {"usual": {}, "newer": {"payload": {"a": 1}}}},
            "only rankings are compared|the slate's depth",
        ),
        ({"kind": "ab"}, "every kind but a shadow"),
    ],
)
def test_what_a_shadow_cannot_be_is_refused(more, words):
    with pytest.raises(UsageError) as refused:
        experiment_of(KEY, {**SAID, **more}, where=KEY)
    import re

    assert re.search(words, f"{refused.value.what} {refused.value.remedy}")
    assert replace(entry().experiment.metrics, others=()).names == ()
