"""Before the people of a shop an interleaving tells two rankings apart with far fewer units than an A/B test, and calls none of two that are alike."""

import json

from click.testing import CliRunner

from tailorbird.experiments.interleaving.bench import interleaving
from tests.proving import tries


def test_interleaving_needs_a_fraction_of_the_units():
    given = [
        "--size",
        str(tries(150, 1_000)),
        "--repeats",
        str(tries(4, 20)),
        "--trials",
        str(tries(150, 1_000)),
        "--json",
    ]
    found = json.loads(CliRunner().invoke(interleaving, given, catch_exceptions=False).stdout)
    assert found["alike_called"] < 0.12
    assert found["alike_called_optimised"] < 0.12
    assert found["unfair"] <= 0.002 * 16 * tries(
        150, 1_000
    )  # of four comparisons of four slates of each person
    for way, better in zip(("team draft", "optimised"), (2.5, 3.5), strict=True):
        *_, largest = (each for each in found["rankings"] if each["by"] == way)
        assert largest["lift_of_clicks"] > 0.05
        assert largest["net"] > 0.1
        assert largest["times"] > better
        assert 0.55 < largest["found"] < 0.95
        assert largest["wrong"] < 0.02
