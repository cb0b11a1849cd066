"""The commands of the room, one after another, as a user would give them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tailorbird.settings import Settings
from tests.training.toy import POPULAR_ONLY, RECIPE


def run(settings: Settings, *argv: str) -> Result:
    from tailorbird.cli import tailorbird

    env = {"TAILORBIRD_HOME": str(settings.home), "TAILORBIRD_MLRUNS": str(settings.mlruns)}
    return CliRunner().invoke(tailorbird, [*argv, "--workspace", "test"], env=env)


@pytest.mark.slow
def test_the_commands_walk_from_training_to_rollback(toy: Settings, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(RECIPE.to_toml())
    (tmp_path / "popular.toml").write_text(POPULAR_ONLY.to_toml())
    first = run(toy, "train", "--recipe", str(tmp_path / "toy.toml"), "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["version"] == 1
    assert isinstance(json.loads(first.stdout)["cases"], int)
    assert json.loads(run(toy, "promote", "--json").stdout)["promoted"]
    assert not json.loads(run(toy, "promote", "--json").stdout)["promoted"]
    assert run(toy, "train", "--recipe", str(tmp_path / "popular.toml")).exit_code == 0
    refused = run(toy, "promote", "--json")
    assert refused.exit_code == 1
    gates = {gate["gate"]: gate for gate in json.loads(refused.stdout)["gates"]}
    assert gates["not worse in ndcg@10"]["passed"] is False
    assert json.loads(refused.stdout)["verdict"] == "worse"
    assert type(refused.exception).__name__ == "RefusedError"
    forced = run(toy, "promote", "--force", "--reason", "drill", "--json")
    assert json.loads(forced.stdout)["forced"]
    back = json.loads(run(toy, "rollback", "--reason", "over", "--json").stdout)
    assert (back["before"], back["version"]) == (2, 1)
    told = json.loads(run(toy, "decisions", "--json").stdout)["decisions"]
    assert [(each["kind"], each["before"], each["version"], each["why"]) for each in told] == [
        ("rollback", 2, 1, "over"),
        ("promote", 1, 2, "drill"),
        ("promote", None, 1, ""),
    ]
    assert len(json.loads(run(toy, "decisions", "--last", "1", "--json").stdout)["decisions"]) == 1
    shown = json.loads(run(toy, "evaluate", "--version", "champion", "--json").stdout)
    assert shown["measured_on"] == "the twin's test part"
    assert shown["metrics"]["ndcg@10"] > 0.6
