"""A worse version is refused, force needs a reason, and there is a way back."""

import json

import pandas as pd
import pytest

from registry.promote import promote, roll_back
from registry.versions import Registry
from tailorbird.errors import UsageError
from tailorbird.settings import Settings
from tests.training.toy import NOW, POPULAR_ONLY, append, trained, walks
from training.evaluation.champion import asker


def test_a_worse_version_is_refused_and_force_needs_a_reason(registry: Registry) -> None:
    assert promote(registry, "1", alias="champion", force=False, reason="", now=NOW).moved
    refused = promote(registry, "2", alias="champion", force=False, reason="", now=NOW)
    assert not refused.moved
    assert [gate.name for gate in refused.gates if not gate.passed] == ["not worse in ndcg@10"]
    assert registry.version("champion").version == 1
    with pytest.raises(UsageError, match="needs a reason"):
        promote(registry, "2", alias="champion", force=True, reason="", now=NOW)
    forced = promote(registry, "2", alias="champion", force=True, reason="a fire drill", now=NOW)
    assert forced.moved
    assert forced.forced
    tags = registry.version("champion").tags
    assert tags["champion.why"] == "a fire drill (forced against: not worse in ndcg@10)"
    assert json.loads(tags["champion.figures"])["not worse in ndcg@10"]["high"] < 0
    assert roll_back(registry, alias="champion", reason="drill over", now=NOW) == (2, 1)
    better = promote(registry, "1", alias="challenger", force=False, reason="", now=NOW)
    assert better.moved
    assert better.before is None


def test_a_champion_from_before_the_data_grew_is_asked_the_new_cases(own_toy: Settings) -> None:
    """The two were measured on different cases: the gate would refuse for want of common ones, so the champion answers."""
    registry = Registry(own_toy)
    trained(own_toy)
    assert promote(registry, "1", alias="champion", force=False, reason="", now=NOW).moved
    later = walks(90, seed=5, first=300)
    later["event_time"] = later["received_time"] = later["event_time"] + pd.Timedelta(days=60)
    append(own_toy, later)
    assert trained(own_toy).version == 2
    assert trained(own_toy, POPULAR_ONLY).version == 3
    blind = promote(registry, "2", alias="champion", force=False, reason="", now=NOW)
    assert [gate.found for gate in blind.gates if not gate.passed] == [
        "only 0 common cases with the champion, 100 are needed"
    ]
    worse = promote(registry, "3", alias="champion", force=False, reason="", now=NOW, ask=asker(own_toy))
    assert not worse.moved
    assert worse.gates[-1].figures["high"] < 0
    seeing = promote(registry, "2", alias="champion", force=False, reason="", now=NOW, ask=asker(own_toy))
    assert seeing.moved
    assert seeing.gates[-1].figures["cases"] >= 100
