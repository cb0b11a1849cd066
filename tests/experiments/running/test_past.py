"""What the last weeks say before a start: who the audience is, what cannot move, and how long it takes."""

import math
from pathlib import Path
from typing import Any

import pytest

from tailorbird.experiments.design.declared import experiment_of
from tailorbird.experiments.design.experiment import Audience
from tailorbird.experiments.running.checking import of_metrics
from tailorbird.experiments.running.past import DAYS, look_back, of_audience
from tailorbird.experiments.statistics.power import units_needed
from tailorbird.settings import Settings, load_settings
from tests.experiments.deciding.shop import DAY, START, declared, happen

NOW = START + 7.5 * DAY


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("past")
    made = load_settings(home=folder, mlruns=folder / "mlruns", workspace="toy")
    happen(made, people=600, chances={"usual": 0.3})
    return made


def said(settings: Settings, *, now: float = NOW, **values: Any) -> dict[str, tuple[str, str]]:
    experiment = experiment_of("next", {**declared(), **values}, where="next")
    return {each.about: (each.level, each.words) for each in look_back(settings, experiment, now=now)}


def test_the_length_follows_from_what_people_do(settings):
    found = said(settings, days=100)
    level, words = found["power"]
    assert level == "fine"
    mean = float(words.split(" is ")[1].split(" ")[0])
    assert mean == pytest.approx(0.3, abs=0.06)
    variance = mean * (1 - mean) * 600 / 599
    needed = int(words.split(" by ")[1].split(" ")[0].replace(",", ""))
    expected = units_needed(
        0.2 * mean,
        control_variance=variance,
        treatment_variance=variance,
        confidence=1 - 0.05 / 4,  # four metrics, adjusted
    )
    assert math.isclose(needed, expected, rel_tol=0.02)
    assert "600 units (person)" in found["audience"][1]


def test_a_plan_that_is_too_short_or_a_share_that_is_too_small_is_said(settings):
    level, words = said(settings, days=1, share=0.1)["power"]
    assert level == "warning"
    assert "and 1 are planned" in words


def test_a_metric_whose_events_never_came_is_named(settings):
    level, words = said(settings)["metrics"]
    assert level == "warning"
    assert "hides was 0 for everybody" in words


def test_an_audience_is_counted_by_its_context(settings):
    found = said(settings, audience={"context": {"device": ["mobile"]}})
    assert "300 units" in found["audience"][1]
    nobody = said(settings, audience={"scenarios": ["never"]})
    assert nobody == {
        "audience": ("warning", f"nobody of its audience was shown anything in the last {DAYS} days")
    }


def test_nothing_is_said_of_a_past_that_is_over(settings):
    assert said(settings, now=NOW + 40 * DAY).keys() == {"audience"}


def test_a_metric_that_is_not_declared_refuses(settings):
    values = {**declared(), "metrics": {"primary": "happiness", "minimum_effect": 0.1}}
    (found,) = of_metrics(experiment_of("next", values, where="next"), settings.folder)
    assert (found.level, found.about) == ("refused", "metrics")


def test_a_workspace_without_a_past_says_so(tmp_path: Path):
    empty = load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", workspace="toy")
    assert said(empty)["audience"][0] == "warning"


def test_an_audience_of_one_is_not_one_of_true():
    asked = Audience(context={"member": (1.0,)})
    assert of_audience(asked, "home", {"member": 1}, {})
    assert not of_audience(asked, "home", {"member": True}, {})
    assert of_audience(Audience(context={"member": (True,)}), "home", {"member": True}, {})
