"""An experiment says what it is; a slip in it is named with its remedy."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest

from tailorbird.errors import UsageError
from tailorbird.experiments.arm import Arm, SlateSettings
from tailorbird.experiments.design.declared import experiment_of, read_experiment
from tailorbird.experiments.design.experiment import Audience, Guardrail, Metrics, Step
from tailorbird.experiments.design.files import values_of

METRICS = {"primary": "clicks_per_slate", "minimum_effect": 0.05}


def declared(**values: Any) -> Any:
    return experiment_of(
        "test", {"hypothesis": "more is better", "metrics": METRICS, **values}, where="test.toml"
    )


def two(**treatment: Any) -> Mapping[str, Any]:
    return {"control": {}, "b": treatment or {"slate": {"depth": 30}}}


def test_a_file_says_everything(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "depth.toml").write_text(
        """
        hypothesis = "Ranking fewer candidates loses nobody."
        unit = "session"
        layer = "slates"
        share = 0.5
        days = 7
        ramp = [{hours = 24, share = 0.8}]
        [metrics]
        primary = "clicks_per_slate"
        minimum_effect = 0.02
        guardrails = ["hides", {metric = "latency", margin = 0.1}]
        others = ["revenue"]
        [audience]
        segments = ["cooks"]
        context = {device = ["mobile", "tablet"]}
        [variants.control]
        weight = 0.9
        [variants.few]
        weight = 0.1
        version = "3"
        slate = {depth = 30}
        scenario = {max_per_brand = 2}
        payload = {headline = "For you"}
        """
    )
    found = read_experiment(tmp_path, "depth")
    assert (found.key, found.unit, found.layer, found.share, found.days) == (
        "depth",
        "session",
        "slates",
        0.5,
        7,
    )
    assert found.control == "control"
    assert found.metrics == Metrics(
        "clicks_per_slate", 0.02, (Guardrail("hides"), Guardrail("latency", 0.1)), ("revenue",)
    )
    assert found.audience == Audience(("cooks",), (), {"device": ("mobile", "tablet")})
    assert found.ramp == (Step(24, 0.8),)
    few = found.variant("few")
    assert few.arm("depth") == Arm("depth:few", "", SlateSettings(depth=30), version="3")
    assert few.changes == {"model", "slate.depth", "scenario.max_per_brand", "payload.headline"}
    assert found.salt == "depth"
    assert not found.variant("control").changes_answers


def test_what_is_left_out_is_as_usual():
    found = declared(variants=two())
    assert [each.weight for each in found.variants] == [0.5, 0.5]
    assert (found.layer, found.share, found.unit, found.kind) == ("test", 1.0, "person", "ab")
    assert found.variant("b").arm("test") == Arm("test:b", "champion", SlateSettings(depth=30))


def test_a_digest_names_what_is_said_and_not_how():
    one, same = declared(variants=two(), days=14), declared(days=14, variants=two())
    assert one.digest == same.digest != declared(variants=two(), days=15).digest


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"variants": two(), "dayz": 3}, "dayz"),
        ({"variants": two(), "share": 1.2}, "share"),
        ({"variants": two(), "unit": "household"}, "unit"),
        ({"variants": two(), "metrics": {"primary": "clicks"}}, "metrics.minimum_effect"),
        ({"variants": {"control": {}}}, "a comparison needs two"),
        ({"variants": {"control": {"weight": 0.5}, "b": {"weight": 0.4, "version": "1"}}}, "add up to 0.9"),
        ({"variants": {"control": {"weight": 0.5}, "b": {"version": "1"}}}, "some have a weight"),
        ({"variants": {"control": {}, "b": {}}}, "no variant changes anything"),
        ({"variants": two(), "control": "a"}, "none of the variants"),
        ({"variants": two(alias="a", version="1")}, "alias = 'a' and version = '1'"),
        ({"variants": two(slate={"depht": 3})}, "variants.b.slate.depht"),
        ({"variants": two(scenario={"filter": "price <"})}, "price"),
        ({"variants": two(payload={"text": "x" * 20_000})}, "20,012 bytes"),
        ({"variants": two(), "ramp": [{"hours": 1, "share": 0.5}]}, "ramp: 0.5 after 1 hours follows 1"),
        ({"variants": {"control": {}, "held": {"version": "1"}}}, "called 'held'"),
        ({"kind": "holdout", "variants": two()}, "change nothing"),
        ({"kind": "canary", "variants": {**two(), "c": {}}}, "compares two"),
        ({"kind": "multivariate", "variants": two()}, "factors"),
        ({"factors": {"a": {"x": {}, "y": {}}}}, "factors"),
    ],
)
def test_a_slip_is_named_with_its_remedy(values, words):
    with pytest.raises(UsageError, match=words) as refused:
        declared(**values)
    assert "test.toml" in str(refused.value)
    assert refused.value.remedy


def test_a_missing_file_and_a_wrong_key_are_named(tmp_path):
    with pytest.raises(UsageError, match="missing"):
        read_experiment(tmp_path, "none")
    with pytest.raises(UsageError, match="no key"):
        read_experiment(tmp_path, "../arms")


def factors(*names: str) -> Mapping[str, Any]:
    return {name: {"low": {}, "high": {"payload": {name: 1}}} for name in names}


def test_all_cells_of_factors_are_variants_and_the_usual_one_is_control():
    found = declared(
        kind="multivariate",
        factors={
            "headline": {
                "usual": {},
                "bold": {"payload": {"headline": "!"}},
                "calm": {"payload": {"headline": "."}},
            },
            "depth": {"usual": {}, "few": {"slate": {"depth": 30}}},
        },
    )
    assert [each.name for each in found.variants] == [
        f"{a}.{b}" for a in ("usual", "bold", "calm") for b in ("usual", "few")
    ]
    assert found.control == "usual.usual"
    assert found.variant("bold.few").changes == {"payload.headline", "slate.depth"}
    assert found.factors == {"headline": ("usual", "bold", "calm"), "depth": ("usual", "few")}
    assert sum(each.weight for each in found.variants) == pytest.approx(1)


@pytest.mark.parametrize(("count", "cells"), [(3, 4), (4, 8), (5, 8), (7, 8), (9, 16)])
def test_a_fraction_is_orthogonal_and_holds_the_usual_cell(count, cells):
    names = "abcdefghi"[:count]
    found = declared(kind="multivariate", design="fractional", factors=factors(*names))
    assert len(found.variants) == cells
    assert set(found.variants[0].levels.values()) == {"low"}
    for one, other in combinations(names, 2):
        pairs = [(each.levels[one], each.levels[other]) for each in found.variants]
        assert {pairs.count(pair) for pair in set(pairs)} == {cells / 4}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"factors": {"a": {"x": {"payload": {"p": 1}}}}}, "a has 1 levels"),
        ({"factors": {"a": {"x": {}, "y": {}}, **factors("b")}}, "a changes nothing"),
        ({"factors": {**factors("b"), "c": {"x": {}, "y": {"payload": {"b": 2}}}}}, "both change payload.b"),
        ({"factors": factors(*"abcdefg")}, "128 cells"),
        ({"factors": factors("a", "b"), "design": "fractional"}, "here are 2"),
    ],
)
def test_a_design_that_cannot_be_is_named(values, words):
    with pytest.raises(UsageError, match=words):
        declared(kind="multivariate", **values)


@pytest.mark.parametrize("text", [f"days = {'9' * 5_000}", f"days = {'[' * 3_000}"], ids=["digits", "deep"])
def test_what_toml_itself_cannot_hold_is_a_slip_too(text):
    with pytest.raises(UsageError, match="cannot be read"):
        values_of(text, where="a.toml")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"variants": two(scenario={"max_per_brand": 2})},
            "test by interleaving change scenario.max_per_brand",
        ),
        ({"variants": two(payload={"headline": "x"})}, "test by interleaving change payload.headline"),
        (
            {"variants": two(version="2", slate={"exploration": {"uniform": 0.1}})},
            "test by interleaving change slate.exploration",
        ),
        ({"variants": {"a": {"weight": 0.7}, "b": {"weight": 0.3, "version": "2"}}}, "have weights"),
        ({"variants": {**two(), "c": {"version": "2"}}}, "compares two variants"),
        ({"variants": two(), "metrics": {**METRICS, "guardrails": ["hides"]}}, "hides cannot be told apart"),
    ],
)
def test_an_interleaving_is_of_two_rankings_and_one_metric(more, words):
    assert (
        declared(kind="interleaving", variants=two(version="2", slate={"depth": 30})).kind == "interleaving"
    )
    with pytest.raises(UsageError, match=words):
        declared(kind="interleaving", **more)
