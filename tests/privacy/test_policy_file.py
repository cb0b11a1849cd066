"""The policy is followed live; a wrong file leaves the one of before, and is said; from the beginning it is refused."""

from pathlib import Path

import pytest

from tailorbird.errors import UsageError
from tailorbird.privacy.policy import policy_file
from tailorbird.privacy.policy.policy import Policy
from tailorbird.privacy.policy.policy_file import PolicyFile
from tailorbird.settings import Settings


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def followed(settings: Settings, tmp_path: Path, clock: list[float]) -> PolicyFile:
    shared = tmp_path / "machine.toml"
    shared.write_text("[basis]\nname = 'contract'\npurposes = ['personalization']\n")
    settings.folder.mkdir(parents=True)
    return PolicyFile(settings.model_copy(update={"privacy": str(shared)}), clock=lambda: clock[0])


def test_its_own_file_and_the_machines_are_followed(
    followed: PolicyFile, settings: Settings, tmp_path: Path, clock: list[float]
) -> None:
    first = followed()
    assert (first.basis, followed() is first) == ("contract", True)
    own = settings.folder / "privacy.toml"
    own.write_text("[signals]\ndo_not_track = true\n")
    assert followed() is first  # looked at once a second at most
    clock[0] += 1.0
    assert (followed().basis, followed().do_not_track) == ("contract", True)
    (tmp_path / "machine.toml").write_text("[basis]\nname = 'public_task'\n")
    clock[0] += 1.0
    assert (followed().basis, followed().do_not_track) == ("public_task", True)
    own.unlink()
    clock[0] += 1.0
    assert followed().do_not_track  # it may just be written anew
    assert "nothing in it any more" in followed.trouble
    clock[0] += 1.0
    assert (followed().basis, followed().do_not_track, followed.trouble) == ("public_task", False, "")


def test_a_file_that_is_wrong_or_gone_leaves_what_held_and_is_said(
    followed: PolicyFile, settings: Settings, tmp_path: Path, clock: list[float]
) -> None:
    before = followed()
    own = settings.folder / "privacy.toml"
    own.write_text("[purpose]\n")
    clock[0] += 1.0
    assert followed() is before
    assert "privacy.toml" in followed.trouble
    own.unlink()
    (tmp_path / "machine.toml").unlink()
    clock[0] += 1.0
    assert followed() is before
    clock[0] += 1.0
    assert followed() is before
    assert "machine.toml, which is not there" in followed.trouble
    (tmp_path / "machine.toml").write_text("")
    clock[0] += 1.0
    assert followed() is before
    clock[0] += 1.0
    assert (followed().basis, followed.trouble) == ("", "")


def test_what_could_not_be_read_is_read_at_the_next_look(
    followed: PolicyFile, settings: Settings, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(settings: Settings) -> Policy:
        raise OSError("input/output error")

    (settings.folder / "privacy.toml").write_text("[signals]\ndo_not_track = true\n")
    with monkeypatch.context() as patched:
        patched.setattr(policy_file, "read_policy", away)
        clock[0] += 1.0
        assert not followed().do_not_track
        assert "input/output" in followed.trouble
    clock[0] += 1.0
    assert (followed().do_not_track, followed.trouble) == (True, "")


def test_one_that_is_wrong_from_the_beginning_is_refused(settings: Settings) -> None:
    settings.folder.mkdir(parents=True)
    (settings.folder / "privacy.toml").write_text("[basis")
    with pytest.raises(UsageError, match=r"privacy\.toml"):
        PolicyFile(settings, clock=lambda: 0.0)
