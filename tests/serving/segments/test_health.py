"""The doctor's look at ``rules.toml``, beside a registered segment model."""

import shutil
from pathlib import Path

import pytest

from serving.segments.health import check_rules
from tailorbird.settings import Settings, load_settings
from tests.segments.carters import CARTS, carters, register_segments

RULE = '[{key}]\nname = "stays away"\nwhen = "days_since_visit > 14"\n'


@pytest.fixture
def settings(mlflow_schema: Path, tmp_path: Path) -> Settings:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(mlflow_schema, tmp_path / "mlruns" / "mlflow.db")
    made = load_settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="toy")
    made.folder.mkdir(parents=True)
    return made


def test_the_doctor_reads_the_rules_and_warns_of_a_key_that_a_learned_segment_has(
    settings: Settings, tmp_path: Path
) -> None:
    file = settings.folder / "rules.toml"
    (none,) = check_rules(settings)
    assert (none.state, none.says) == ("ok", "no rule is written")
    file.write_text(RULE.format(key="away").replace("days_since_visit", "days"))
    (broken,) = check_rules(settings)
    assert (broken.state, broken.points_at) == ("broken", str(file))
    assert "there is no fact days" in broken.says
    assert "docs/segments.md" in broken.remedy
    file.write_text(RULE.format(key="away") + RULE.format(key=CARTS))
    (alone,) = check_rules(settings)
    assert (alone.state, alone.facts) == ("ok", {"rules": 2})
    register_segments(settings, carters(), tmp_path)
    (both,) = check_rules(settings)
    assert (both.state, both.remedy) == ("warning", "give the rule another key")
    assert both.says == f"rules.toml: learned segments are called {CARTS}, too: either counts"
