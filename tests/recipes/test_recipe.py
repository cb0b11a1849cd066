"""Recipes: what is written is what is read, and a slip is named."""

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.recipes.bounds import LARGEST
from tailorbird.recipes.recipe import Recipe, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_survives_writing(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "copy.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe
    assert recipe.name == name


def test_dimensions_follow_the_width_unless_given() -> None:
    recipe = Recipe.of({"width": 32, "content": {"dimensions": 8}}).resolved
    assert (recipe.content.dimensions, recipe.sequence.dimensions, recipe.ranker.hidden) == (8, 32, 16)


def test_the_digest_names_the_choices_not_the_spelling() -> None:
    assert Recipe.of({"width": 64}).digest == Recipe.of({"sequence": {"dimensions": 64}}).digest
    assert Recipe().digest != Recipe().override({"sequence.dropout": 0.5}).digest


@given(st.floats(0, 1), st.integers(1, 500), st.booleans())
def test_an_override_changes_its_key_only(dropout: float, window: int, seen: bool) -> None:
    changes = {"sequence.dropout": dropout, "cooccurrence.window": window, "exclude_seen": seen}
    recipe = Recipe().override(changes)
    assert (recipe.sequence.dropout, recipe.cooccurrence.window, recipe.exclude_seen) == (
        dropout,
        window,
        seen,
    )
    original = {"sequence.dropout": 0.25, "cooccurrence.window": 50, "exclude_seen": True}
    assert recipe.override(original) == Recipe().override(original)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("breadth = 3", "breadth"),
        ("[sequence]\nepoch = 3", "sequence.'epoch'"),
        ("width = 'wide'", "wide"),
        ("width = true", "True"),
        ("exclude_seen = 1", "true or false"),
        ("width = -4", "-4"),
        ("width = 2", "width 2"),
        ("taste = 'salty'", "salty"),
        ("taste = 1", "taste is 1"),
        ("max_category_share = 0", "max_category_share 0"),
        ("max_category_share = 1.5", "max_category_share is 1.5; give a number from 0 to 1"),
        ("width = 1000000000", "width is 1000000000; give a whole number from 0 to 4,096"),
        ("[sequence]\nblocks = 65", "sequence.blocks is 65; give a whole number from 0 to 64"),
        (
            "[sequence]\nlearning_rate = 1e9",
            "sequence.learning_rate is 1000000000.0; give a number from 0 to 1",
        ),
        ("[ranker]\nweight_decay = inf", "ranker.weight_decay is inf; give a number from 0 to 10"),
        ("[cooccurrence]\nease_l2 = 1" + "0" * 400, "give a number from 0 to 1,000,000,000"),
        ("sources = ['oracle']", "oracle"),
        ("sources = []", "sources"),
        ("sequence = 3", "sequence"),
        ("[sequence]\ndropout = nan", "nan"),
        ("width = ", "not valid TOML"),
    ],
)
def test_a_slip_is_named_with_its_value(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "slip.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"recipe|TOML") as error:
        load_recipe(path)
    assert said in str(error.value)
    assert error.value.remedy


def test_every_number_has_a_largest_value_that_may_be_given() -> None:
    values = asdict(Recipe())
    tables = {name: table for name, table in values.items() if isinstance(table, dict)}
    numbers = {key: value for key, value in values.items() if type(value) in (int, float)}
    for name, table in tables.items():
        numbers |= {f"{name}.{key}": value for key, value in table.items() if type(value) in (int, float)}
    assert LARGEST.keys() == numbers.keys()
    for key, most in LARGEST.items():
        if key != "ranker.new_items":  # below 1: not all items are new
            Recipe().override({key: most})
        with pytest.raises(UsageError, match=rf"{key} is .*from 0 to {most:,}"):
            Recipe().override({key: most + 1})


def test_an_unknown_recipe_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="default"):
        load_recipe("grandmothers")


def test_an_unknown_override_is_refused() -> None:
    for key in ("sequence.epoch", "sequences.epochs", "sequence.epochs.more", "nonsense"):
        with pytest.raises(UsageError, match=key):
            Recipe().override({key: 1})


def test_habit_speaks_only_where_seen_items_may_be_answered() -> None:
    assert "habit" not in load_recipe("default").resolved.sources
    assert "habit" in load_recipe("retail").resolved.sources
    with pytest.raises(UsageError, match="habit"):
        Recipe.of({"sources": ["habit"]})
