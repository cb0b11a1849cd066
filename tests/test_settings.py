"""A variable that means a setting and is none is said; those that others read are not."""

import pytest
from click.testing import CliRunner

from tailorbird import cli
from tailorbird.settings import misspelt


def test_a_slip_in_a_settings_name_is_told_from_what_others_read() -> None:
    others = ["TAILORBIRD_DATA", "TAILORBIRD_TEST_POSTGRES", "TAILORBIRD_NEW_MASTER_KEY", "HISTORY_LENGHT"]
    assert misspelt(["TAILORBIRD_HISTORY_LENGHT", "TAILORBIRD_HOME", *others]) == {
        "TAILORBIRD_HISTORY_LENGHT": "TAILORBIRD_HISTORY_LENGTH"
    }


def test_a_command_says_which_setting_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_WORKSPACES", "movies")
    said = CliRunner().invoke(cli.tailorbird, ["train", "--recipe", "nowhere.toml"])
    assert (
        "TAILORBIRD_WORKSPACES is no setting and changes nothing; did you mean TAILORBIRD_WORKSPACE?"
        in said.output
    )
