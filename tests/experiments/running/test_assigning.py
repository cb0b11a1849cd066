"""Assignment: deterministic, even, of one experiment a layer; ramps move nobody; the same here and in the browser."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.experiments.arm import Arm, SlateSettings
from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.running.assigning import (
    NOT_ASSIGNED,
    Asker,
    Assignment,
    Shadow,
    composed,
)
from tailorbird.experiments.running.buckets import BUCKETS, PARTS, Range, bucket, point
from tailorbird.experiments.running.checking import overlaps, structural
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.renewals import Renewal
from tailorbird.experiments.running.slots import resized
from tailorbird.experiments.scenario import Scenario

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
PEOPLE = [f"user:{n}" for n in range(4_000)]


def entry(key: str, *, buckets: tuple[Range, ...] | None = None, **values: Any) -> Entry:
    said = {
        "hypothesis": "h",
        "metrics": {"primary": "ctr", "minimum_effect": 0.1},
        "variants": {"control": {}, "b": {"payload": {key: 1}}},
        **values,
    }
    said = {name: value for name, value in said.items() if value is not None}
    experiment = experiment_of(key, said, where=key)
    held = buckets or resized((), experiment.share, others=(), layer=experiment.layer)
    return Entry(experiment, "running", 1, held, 0.0, None, None, "", said)


def variants(assignment: Assignment, people: list[str] = PEOPLE, **facts: Any) -> dict[str, dict[str, str]]:
    return {each: dict(assignment.assign(Asker(person=each, **facts)).variants) for each in people}


@pytest.mark.parametrize("vector", VECTORS["points"], ids=lambda each: each["unit"][:12])
def test_the_vectors_hold(vector):
    assert bucket(vector["layer"], vector["unit"]) == vector["bucket"]
    assert point(vector["salt"], vector["unit"]) == vector["point"]


@pytest.mark.parametrize("vector", VECTORS["assignments"], ids=lambda each: each["unit"])
def test_the_vectors_of_experiments_hold(vector):
    running = [
        entry(
            each["key"],
            layer=each["layer"],
            salt=each["salt"],
            variants={
                name: {"weight": weight, "payload": {each["key"]: place}}
                for place, (name, weight) in enumerate(zip(each["variants"], each["weights"], strict=True))
            },
            buckets=tuple(Range(*one) for one in each["buckets"]),
        )
        for each in VECTORS["experiments"]
        if "/" not in each["salt"]
    ]
    (bandit,) = (each for each in VECTORS["experiments"] if "/" in each["salt"])
    renewed = entry(
        bandit["key"],
        kind="bandit",
        bandit={},
        variants={name: {"payload": {name: 1}} for name in bandit["variants"]},
    )
    salt, number = bandit["salt"].split("/")
    assert salt == bandit["key"]
    running.append(replace(renewed, renewal=Renewal(int(number), 1.0, "ann", (tuple(bandit["weights"]),))))
    found = Assignment(running).assign(Asker(person=vector["unit"]))
    assert dict(found.variants) == vector["variants"]


@given(
    st.text(max_size=40),
    st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=5), min_size=1, max_size=6),
    st.integers(0, BUCKETS - 1),
)
def test_all_layers_at_once_are_as_one_after_the_other(unit, weights, cut):
    """Several layers, each of two experiments that hold its two ends, against one bucket and one point at a time."""
    running, expected = [], {}
    for n, each in enumerate(weights):
        shares = [one / sum(each) for one in each]
        said = {f"v{m}": {"weight": share, "payload": {f"p{n}": m}} for m, share in enumerate(shares)}
        ends = (Range(0, cut), Range(cut, BUCKETS)) if cut else (Range(0, 0), Range(0, BUCKETS))
        for side, held in zip("ab", ends, strict=True):
            key = f"{side}-{n}"
            running.append(entry(key, layer=f"layer-{n}", variants=said, buckets=(held,), salt=f"s-{n}"))
            if held.start <= bucket(f"layer-{n}", unit) < held.end:
                reached = np.cumsum(np.array(shares) * PARTS)[:-1] <= point(f"s-{n}", unit)
                expected[key] = f"v{int(reached.sum())}"
    assert dict(Assignment(running).assign(Asker(person=unit)).variants) == (expected if unit else {})


def test_nothing_runs_and_nobody_takes_part():
    assert Assignment(()).assign(Asker(person="user:ann")) is NOT_ASSIGNED


def test_a_unit_without_the_name_that_is_asked_for_takes_no_part():
    running = Assignment([entry("a", unit="session")])
    assert running.assign(Asker(person="user:ann")) is NOT_ASSIGNED
    assert running.assign(Asker(session="s")).variants.keys() == {"a"}


def test_weights_and_shares_are_kept():
    three = {"control": {"weight": 0.5}, "b": {"weight": 0.3, "version": "1"}, "c": {"weight": 0.2}}
    found = variants(Assignment([entry("a", variants=three, share=0.5)]))
    counted = Counter(each.get("a") for each in found.values())
    for name, share in ((None, 0.5), ("control", 0.25), ("b", 0.15), ("c", 0.1)):
        assert counted[name] / len(PEOPLE) == pytest.approx(share, abs=0.03)


def test_layers_are_independent_and_within_one_experiments_exclude_each_other():
    first = entry("a", layer="x", buckets=(Range(0, 6_000),))
    second = entry("b", layer="x", buckets=(Range(6_000, BUCKETS),))
    found = variants(Assignment([first, second, entry("c")]))
    assert all(len(each.keys() & {"a", "b"}) == 1 for each in found.values())
    pairs = Counter((each["a"], each["c"]) for each in found.values() if "a" in each)
    together = sum(pairs.values())
    assert all(count / together == pytest.approx(0.25, abs=0.04) for count in pairs.values())


@given(st.lists(st.integers(1, BUCKETS), min_size=2, max_size=4))
def test_a_ramp_moves_nobody_who_is_in(counts):
    held: tuple[Range, ...] = ()
    before: dict[str, dict[str, str]] = {}
    for count in sorted(counts):
        held = resized(held, count / BUCKETS, others=(), layer="a")
        now = variants(Assignment([entry("a", buckets=held)]), PEOPLE[:200])
        assert all(now[each] == before[each] for each in before if before[each])
        before = now


def test_whom_a_holdout_holds_takes_part_in_nothing_else():
    rest = entry("rest", kind="holdout", variants={"open": {"weight": 0.9}, "held": {"weight": 0.1}})
    found = variants(Assignment([entry("a"), rest]))
    held = [each for each in found.values() if each["rest"] == "held"]
    assert len(held) / len(PEOPLE) == pytest.approx(0.1, abs=0.02)
    assert all(each == {"rest": "held"} for each in held)
    assert all(each.keys() == {"rest", "a"} for each in found.values() if each["rest"] == "open")


@pytest.mark.parametrize(
    ("audience", "facts", "takes_part"),
    [
        ({"segments": ["cooks"]}, {"segments": ["cooks", "new"]}, True),
        ({"segments": ["cooks"]}, {"segments": [""]}, False),
        ({"scenarios": ["home"]}, {"scenario": "home"}, True),
        ({"scenarios": ["home"]}, {"scenario": "cart"}, False),
        ({"context": {"device": ["mobile"]}}, {"context": {"device": "mobile"}}, True),
        ({"context": {"device": ["mobile"]}}, {"context": {}}, False),
        ({"context": {"app": [1]}}, {"context": {"app": True}}, False),
        ({"context": {"app": ["a"]}}, {"context": {"app": ["a"]}}, False),
    ],
)
def test_an_audience_asks_for_what_it_says(audience, facts, takes_part):
    found = Assignment([entry("a", audience=audience)]).assign(Asker(person="user:ann", **facts))
    assert bool(found.variants) == takes_part


def test_variants_of_several_layers_make_one_arm_together():
    def always(key: str, **change: Any) -> Entry:
        return entry(key, variants={"b": {"weight": 1.0 - 1e-9, **change}, "never": {"weight": 1e-9}})

    running = Assignment(
        [
            always("z", slate={"depth": 30}),
            always("m", version="7"),
            always("w", scenario={"max_per_brand": 2}),
            always("p", payload={"headline": "!"}),
        ]
    )
    found = running.assign(Asker(person="user:ann"))
    assert found.arm == "m:b+w:b+z:b"
    assert found.wishes == Scenario(max_per_brand=2)
    assert found.variants.keys() == {"z", "m", "w", "p"}
    raw = {arm.name: arm for arm in running.arms}
    assert raw.keys() == {"z:b", "m:b", "w:b"}
    assert composed(found.arm, list(raw.values())) == Arm(found.arm, "", SlateSettings(depth=30), "7")


def test_two_layers_that_change_the_same_are_found():
    one = entry("a", variants={"control": {}, "b": {"slate": {"depth": 3}, "version": "2"}})
    other = entry("b", variants={"control": {}, "b": {"slate": {"depth": 9}}})
    same_layer = entry("c", layer="a", variants={"control": {}, "b": {"version": "1"}})
    assert overlaps(one.experiment, [other, same_layer]) == [(other, {"slate.depth"})]


def test_an_interleaving_gives_every_unit_both_arms_beside_those_of_other_layers():
    interleaved = {"control": {"slate": {"keep_seen": True}}, "b": {"version": "2"}}
    both = entry("both", kind="interleaving", variants=interleaved)
    other = entry("other", variants={"a": {"slate": {"depth": 9}}, "b": {"slate": {"depth": 5}}})
    alone = Assignment([both]).assign(Asker(person="user:ann"))
    assert (dict(alone.variants), alone.arm) == ({"both": "interleaved"}, "both:interleaved")
    assert alone.pair is not None
    assert (alone.pair.arms, alone.pair.teams) == (("both:control", "both:b"), ("control", "b"))
    found = Assignment([both, other]).assign(Asker(person="user:ann"))
    name = found.variants["other"]
    assert found.arm == f"both:interleaved+other:{name}"
    assert found.pair is not None
    assert found.pair.arms == (f"both:control+other:{name}", f"both:b+other:{name}")
    assert {arm.name for arm in Assignment([both]).arms} == {"both:control", "both:b"}
    of_champion = Assignment(
        [entry("c", kind="interleaving", variants={"control": {}, "b": {"version": "2"}})]
    )
    assert of_champion.assign(Asker(person="user:ann")).pair.arms == ("champion", "c:b")


def test_of_two_interleavings_in_layers_of_their_own_the_second_is_refused():
    variants_of = {"control": {}, "b": {"version": "2"}}
    running = entry("first", kind="interleaving", variants={"control": {}, "b": {"slate": {"depth": 5}}})
    second = entry("second", kind="interleaving", variants=variants_of).experiment
    assert any("a slate is of two rankings" in each.words for each in structural(second, [running]))
    same = entry("second", kind="interleaving", variants=variants_of, layer="first").experiment
    assert not any("a slate is of two rankings" in each.words for each in structural(same, [running]))


def test_what_explores_and_an_interleaving_which_does_not_overlap():
    exploring = entry("x", variants={"control": {}, "b": {"slate": {"exploration": {"uniform": 0.1}}}})
    interleaving = entry("i", kind="interleaving", variants={"control": {}, "b": {"version": "2"}})
    for one, other in ((exploring, interleaving), (interleaving, exploring)):
        assert overlaps(one.experiment, [other]) == [(other, {"slate.exploration"})]


def test_a_shadow_overlaps_with_nothing_and_asks_too_whoever_takes_part_in_what():
    said = {"kind": "shadow", "metrics": None, "variants": {"usual": {}, "newer": {"version": "2"}}}
    shadow = entry("s", **said)
    changing = entry("a", variants={"control": {}, "b": {"version": "3"}})
    assert overlaps(shadow.experiment, [changing]) == []
    assert overlaps(changing.experiment, [shadow]) == []
    alone = Assignment([shadow]).assign(Asker(person="user:ann"))
    assert (dict(alone.variants), alone.arm) == ({}, "champion")
    assert alone.shadows == (Shadow("s", "s:newer"),)
    both = Assignment([shadow, changing]).assign(Asker(person="user:ann"))
    assert both.variants.keys() == {"a"}
    assert both.shadows == alone.shadows
    assert {arm.name for arm in Assignment([shadow]).arms} == {"s:newer"}
    held = entry("h", kind="holdout", variants={"open": {"weight": 1e-9}, "held": {"weight": 1 - 1e-9}})
    assert Assignment([shadow, held]).assign(Asker(person="user:ann")).shadows == ()
