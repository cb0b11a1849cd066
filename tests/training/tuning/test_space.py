"""A search space changes keys that recipes have, between values they accept, and nothing else."""

from pathlib import Path

import optuna
import pytest

from tailorbird.errors import UsageError
from tailorbird.recipes.recipe import Recipe, load_recipe, recipe_names
from training.tuning.space import FOLDER, Choice, Range, load_space


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("space", sorted(path.stem for path in FOLDER.glob("*.toml")))
@pytest.mark.parametrize("recipe", recipe_names())
def test_every_space_that_ships_fits_every_recipe_that_ships(space: str, recipe: str) -> None:
    start = load_recipe(recipe)
    found = load_space(space, start)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        start.override(found.suggest(study.ask()))
    assert found.of_recipe(start) is not None, "the recipe itself must be a point of the space"


def test_numbers_keep_the_type_of_the_recipes_key(tmp_path: Path) -> None:
    space = load_space(
        write(
            tmp_path,
            '[space]\n"sequence.blocks" = { low = 1, high = 3 }\n"sequence.dropout" = { low = 0, high = 1 }\n'
            '"width" = { choices = [8, 16] }\n',
        ),
        Recipe(),
    )
    assert space.keys == {
        "sequence.blocks": Range(1, 3, whole=True),
        "sequence.dropout": Range(0, 1),
        "width": Choice((8, 16)),
    }
    suggested = space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask())
    assert isinstance(suggested["sequence.blocks"], int)
    assert isinstance(suggested["sequence.dropout"], float)


def test_keys_of_sources_that_the_recipe_lacks_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path, '[space]\n"sequence.dropout" = { low = 0, high = 1 }\n"width" = { low = 8, high = 9 }\n'
    )
    assert set(load_space(path, Recipe(sources=("popularity",))).keys) == {"width"}


def test_a_recipe_outside_of_the_space_is_no_point_of_it(tmp_path: Path) -> None:
    path = write(tmp_path, '[space]\n"width" = { low = 8, high = 32, step = 8 }\n')
    space = load_space(path, Recipe(width=16))
    assert space.of_recipe(Recipe(width=16)) == {"width": 16}
    assert space.of_recipe(Recipe(width=64)) is None
    assert space.of_recipe(Recipe(width=17)) is None


@pytest.mark.parametrize(
    "text",
    [
        "[space\n",
        "[spice]\nwidth = { low = 1, high = 2 }\n",
        '[space]\n"sequence.heds" = { low = 1, high = 2 }\n',
        '[space]\n"sequence" = { low = 1, high = 2 }\n',
        '[space]\n"sequence.dropout" = { low = 0.5, high = 0.1 }\n',
        '[space]\n"sequence.dropout" = { low = 0, high = 1, log = true }\n',
        '[space]\n"sequence.dropout" = { low = -1.0, high = 1.0 }\n',
        '[space]\n"sequence.dropout" = { low = "a", high = "b" }\n',
        '[space]\n"sequence.dropout" = 0.5\n',
        '[space]\n"sequence.dropout" = { choices = ["much"] }\n',
        '[space]\n"sources" = { low = 1, high = 2 }\n',
        '[space]\n"width" = { low = 1, high = 8 }\n',
    ],
)
def test_a_space_without_meaning_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_space(write(tmp_path, text), Recipe())
    assert refused.value.remedy


def test_an_unknown_space_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="quick"):
        load_space("nowhere", Recipe())
