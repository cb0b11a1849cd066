"""The ledger: an experiment runs once, of two people one is first, and nobody moves who is in."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.assigning import Asker
from tailorbird.experiments.running.buckets import BUCKETS, Range
from tailorbird.experiments.running.entries import StateError, Unread
from tailorbird.experiments.running.followed import FollowedLedger
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.experiments.running.slots import resized, size


def values(**more: Any) -> dict[str, Any]:
    return {
        "hypothesis": "h",
        "metrics": {"primary": "ctr", "minimum_effect": 0.1},
        "variants": {"control": {}, "b": {"payload": {"x": 1}}},
        **more,
    }


def start(ledger: Ledger, key: str, *, who: str = "ann", at: float = 1.0, **more: Any):
    said = values(**more)
    return ledger.start(experiment_of(key, said, where=key), said, at=at, who=who)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


def test_nothing_was_started_yet(ledger):
    assert ledger.entries() == []
    assert ledger.get("a") is None


def test_a_life_is_written_down_step_by_step(ledger):
    start(ledger, "a", share=0.2)
    ledger.ramp("a", 0.5, at=2.0, who="bob", reason="looks fine")
    ledger.stop("a", at=3.0, who="ann")
    found = ledger.decide("a", "ship b", at=4.0, who="ann")
    assert [(each.did, each.who, each.at, each.share) for each in found.steps] == [
        ("start", "ann", 1.0, 0.2),
        ("ramp", "bob", 2.0, 0.5),
        ("stop", "ann", 3.0, 0.0),
        ("decide", "ann", 4.0, 0.0),
    ]
    assert (found.state, found.started, found.stopped, found.decided) == ("decided", 1.0, 3.0, 4.0)
    assert ledger.entries(state="running") == []


def test_what_was_declared_at_the_start_stays(ledger):
    before = start(ledger, "a", hypothesis="what I meant").experiment
    found = ledger.get("a")
    assert found is not None
    assert found.experiment == before
    assert found.declared["hypothesis"] == "what I meant"


def test_of_two_who_start_at_once_one_is_told_who_was_first(tmp_path):
    def begin(who: str) -> str:
        try:
            start(Ledger(tmp_path), "a", who=who)
        except StateError as error:
            return str(error)
        return "started"

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(begin, ["ann", "bob", "cy", "di"]))
    assert said.count("started") == 1
    found = Ledger(tmp_path).get("a")
    assert found is not None
    assert len(found.steps) == 1
    assert all(f"started before, by {found.steps[0].who}" in each for each in said if each != "started")


def test_whoever_saw_another_state_is_refused(ledger):
    seen = start(ledger, "a", share=0.1).revision
    ledger.ramp("a", 0.3, at=2.0, who="bob", revision=seen)
    with pytest.raises(StateError, match="bob did ramp"):
        ledger.stop("a", at=3.0, who="ann", revision=seen)
    found = ledger.get("a")
    assert found is not None
    assert (found.state, found.share) == ("running", 0.3)


@pytest.mark.parametrize("move", ["ramp", "stop", "decide"])
def test_what_never_started_or_has_ended_is_not_moved(ledger, move):
    def do() -> None:
        extra = {"ramp": (0.5,), "stop": (), "decide": ("b",)}[move]
        getattr(ledger, move)("a", *extra, at=9.0, who="ann")

    with pytest.raises(StateError, match="never started"):
        do()
    start(ledger, "a")
    if move != "decide":
        ledger.stop("a", at=2.0, who="ann")
    with pytest.raises(StateError, match=r"is (stopped|running), not"):
        do()


def test_a_layer_has_room_once_and_a_stop_gives_it_back(ledger):
    start(ledger, "a", layer="slates", share=0.7)
    with pytest.raises(UsageError, match=r"room for 0\.3, not for 0\.5"):
        start(ledger, "b", layer="slates", share=0.5)
    assert ledger.get("b") is None
    start(ledger, "elsewhere", share=1.0)
    start(ledger, "b", layer="slates", share=0.3)
    with pytest.raises(UsageError, match=r"room for 0\.3, not for 0\.4"):
        ledger.ramp("b", 0.4, at=2.0, who="ann")
    ledger.stop("a", at=3.0, who="ann")
    assert ledger.ramp("b", 1.0, at=4.0, who="ann").share == 1.0


shares = st.integers(1, BUCKETS).map(lambda count: count / BUCKETS)


@given(st.lists(shares, min_size=2, max_size=6), st.lists(st.tuples(shares, shares), max_size=3))
def test_growing_only_adds_and_shrinking_only_gives_back(steps, others):
    taken = [Range(*sorted((int(a * BUCKETS), int(b * BUCKETS)))) for a, b in others]
    held: tuple[Range, ...] = ()
    for share in steps:
        before = {each for one in held for each in range(*one)}
        try:
            held = resized(held, share, others=taken, layer="l")
        except UsageError:
            continue
        now = {each for one in held for each in range(*one)}
        assert len(now) == size(held) == round(share * BUCKETS)
        assert before <= now or now <= before
        assert not now & {each for one in taken for each in range(*one)}


def test_a_file_that_a_killed_start_left_empty_is_an_empty_ledger(ledger):
    ledger.path.touch()
    assert ledger.entries() == []
    assert ledger.get("a") is None
    assert start(ledger, "a").state == "running"


def spoil(ledger: Ledger, key: str, declared: str) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("UPDATE experiments SET declared = ? WHERE key = ?", (declared, key))


@pytest.mark.parametrize("declared", [json.dumps({**values(), "of_tomorrow": 1}), "{", "{}", "null"])
def test_what_cannot_be_read_any_more_is_named_with_the_remedy_and_all_others_go_on(ledger, declared):
    for key in ("a", "b"):
        start(ledger, key, layer="x", share=0.5)
    followed = FollowedLedger(ledger.path.parent)
    assert len(followed().entries) == 2
    assert followed.trouble == ""
    spoil(ledger, "a", declared)
    assert [each.key for each in followed().entries] == ["b"]
    assert "experiment 'a' was started" in followed.trouble
    assert "`tailorbird experiment stop a`" in followed.trouble
    found, other = ledger.all()
    assert isinstance(found, Unread)
    assert (found.key, found.state, other.key) == ("a", "running", "b")
    assert [each.key for each in ledger.entries()] == ["b"]
    with pytest.raises(UsageError, match="not understood any more"):
        ledger.get("a")
    with pytest.raises(UsageError, match="has room for 0, not for"):  # nobody gets the units that it had
        start(ledger, "c", layer="x", share=0.1)
    with pytest.raises(StateError, match="revision 1, not 7"):
        ledger.stop("a", at=2.0, who="bob", revision=7)
    stopped = ledger.stop("a", at=2.0, who="bob")
    assert (stopped.state, stopped.revision) == ("stopped", 2)
    assert followed.trouble != ""
    assert [each.key for each in followed().entries] == ["b"]
    assert followed.trouble == ""
    start(ledger, "c", layer="x", share=0.5)


def test_while_nobody_knows_whom_a_holdout_holds_nobody_takes_part(ledger):
    start(ledger, "a")
    sizes = {"open": {"weight": 0.5}, "held": {"weight": 0.5}}
    rest = values(kind="holdout", variants=sizes)
    start(ledger, "rest", kind="holdout", variants=sizes)
    followed = FollowedLedger(ledger.path.parent)
    people = [Asker(person=f"user:{n}") for n in range(100)]
    assert 20 < sum("a" in followed().assign(each).variants for each in people) < 80
    spoil(ledger, "rest", json.dumps({**rest, "of_tomorrow": 1}))
    assert not any(followed().assign(each).variants for each in people)
    assert "whom holdout 'rest' holds is not known" in followed.trouble
    ledger.stop("rest", at=2.0, who="bob")
    assert all("a" in followed().assign(each).variants for each in people)
    assert followed.trouble == ""


@pytest.mark.parametrize("held", ["null", "[[0, 10, 1]]", '{"of": "tomorrow"}', '[[0, "x"]]'])
def test_buckets_that_cannot_be_read_stop_nobody_elsewhere_and_their_layer_is_full(ledger, held):
    for key in ("a", "b"):
        start(ledger, key, layer=key)
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("UPDATE experiments SET buckets = ? WHERE key = 'a'", (held,))
    followed = FollowedLedger(ledger.path.parent)
    assert [each.key for each in followed().entries] == ["b"]
    assert "experiment 'a' was started" in followed.trouble
    with pytest.raises(UsageError, match="which part of layer 'a'"):
        start(ledger, "c", layer="a", share=0.1)
    start(ledger, "c", layer="c")
    assert ledger.stop("a", at=2.0, who="bob").state == "stopped"
    start(ledger, "d", layer="a", share=0.1)
