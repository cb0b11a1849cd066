"""Scenarios are read strictly, again when they change, and give way to what a request says itself."""

from pathlib import Path

import pytest

from tailorbird.errors import UsageError
from tailorbird.experiments.scenario import NO_SCENARIO, Scenario
from tailorbird.experiments.scenarios import ScenarioFile, read_scenarios, scenarios_of
from tailorbird.slate.filtering.parser import parse_filter

WHOLE = """
[home]
num_results = 8
filter = 'stock > 0 and not brand = "x"'
exclude = ["voucher"]
boost = [{filter = "age_days < 14", by = 0.5}]
pin = [{item_id = "sale", place = 3}]
max_per_category = 4
max_per_brand = 2
keep_seen = true
weights = {click = 1, purchase = 2.5, hide = -3}

["product page"]
include = ["a", "b"]
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(WHOLE)
    scenarios = read_scenarios(tmp_path / "s.toml")
    home = scenarios["home"]
    assert (home.num_results, home.exclude, home.keep_seen) == (8, ("voucher",), True)
    assert home.wishes.where == parse_filter('stock > 0 and not brand = "x"')
    assert (home.wishes.boosts[0].by, home.wishes.pins[0].place) == (0.5, 3)
    assert (home.wishes.per_category, home.wishes.per_brand) == (4, 2)
    assert home.wishes.weights == (("click", 1.0), ("hide", -3.0), ("purchase", 2.5))
    assert home.wishes.said["weights"] == {"click": 1.0, "hide": -3.0, "purchase": 2.5}
    assert scenarios["product page"].wishes.include == {"a", "b"}
    assert read_scenarios(tmp_path / "none.toml") == {}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"depth": 3}, "home.depth = 3: Extra inputs"),
        ({"num_results": 0}, "greater than or equal to 1"),
        ({"filter": "price <"}, "home: filter, character 8: the expression ends"),
        ({"boost": [{"filter": "a = 1", "by": 11}]}, "less than or equal to 10"),
        ({"boost": [{"filter": "a =", "by": 1}]}, "home: filter, character 4"),
        ({"pin": [{"item_id": "a"}]}, "pin.0.place"),
        ({"keep_seen": 1}, "home.keep_seen = 1"),
        ({"weights": {"like": 1.0}}, "'click', 'add_to_cart', 'purchase' or 'hide'"),
        ({"weights": {"click": 101}}, "less than or equal to 100"),
        ({"weights": {"click": 0.0, "hide": 0}}, "every weight is 0"),
    ],
)
def test_what_is_wrong_is_an_error(table: dict, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        scenarios_of({"home": table}, where="scenarios.toml")
    assert says in str(refused.value)


def test_a_file_that_changes_is_read_again_and_a_wrong_one_leaves_those_of_before(tmp_path: Path) -> None:
    path, now = tmp_path / "scenarios.toml", [0.0]
    file = ScenarioFile(path, clock=lambda: now[0])
    assert file.get("home") is NO_SCENARIO
    for text, k, trouble in (
        ("[home]\nnum_results = 5\n", 5, False),
        ("[home]\nnum = 5", 5, True),
        ("[home]\nnum_results = 66", 66, False),
    ):
        path.write_text(text)
        now[0] += 2
        assert (file.get("home").num_results, bool(file.trouble)) == (k, trouble)
    path.unlink()
    now[0] += 2
    assert file.get("home") is NO_SCENARIO


def test_what_a_request_says_stands_over_its_scenario() -> None:
    defaults = Scenario(num_results=8, filter="price < 5", exclude=("a",))
    chosen = Scenario(num_results=3, filter="").over(defaults)
    assert chosen == Scenario(num_results=3, filter="", exclude=("a",))
    assert chosen.wishes.where is None
