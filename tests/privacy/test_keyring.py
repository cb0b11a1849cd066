"""The keyring: made once, opened by its master key alone, wrapped anew without changing what it holds."""

import itertools
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.privacy.keys.keyring import Keyring, keyring_file, open_keyring, rotate
from tailorbird.privacy.keys.master import encoded, master_file, write_privately
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.settings import Settings


def given(settings: Settings, **more: str) -> Settings:
    return settings.model_copy(update=more)


def test_a_workspace_makes_its_own_keys_once_and_says_so(settings: Settings, capsys) -> None:
    first = open_keyring(settings)
    assert "keep a copy" in capsys.readouterr().err
    assert open_keyring(settings) == first
    assert capsys.readouterr().err == ""
    for path in (master_file(settings), keyring_file(settings)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keyring_file(settings).parent.stat().st_mode) == 0o700
    assert first.pseudonyms.hex() not in repr(first)


def test_many_that_begin_at_once_make_one_keyring(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: open_keyring(settings), range(16)))
    assert all(each == made[0] for each in made)


def test_machines_with_one_master_key_make_one_keyring(settings: Settings, tmp_path: Path) -> None:
    key = encoded(new_key())
    here, there = given(settings, master_key=key), given(settings, master_key=key, home=tmp_path / "there")
    there.__dict__.pop("folder", None)
    assert open_keyring(here) == open_keyring(there)
    assert keyring_file(here) != keyring_file(there)
    assert not master_file(here).exists()


def test_a_wrong_or_lost_master_key_changes_nothing(settings: Settings) -> None:
    keyring = open_keyring(settings)
    before = keyring_file(settings).read_bytes()
    with pytest.raises(UsageError, match="does not open"):
        open_keyring(given(settings, master_key=encoded(new_key())))
    kept = master_file(settings).read_text()
    master_file(settings).unlink()
    with pytest.raises(UsageError, match="is lost"):
        open_keyring(settings)
    assert not master_file(settings).exists()
    assert keyring_file(settings).read_bytes() == before
    write_privately(master_file(settings), kept)
    assert open_keyring(settings) == keyring


def test_a_master_key_that_others_can_read_or_that_is_none_is_refused(settings: Settings) -> None:
    open_keyring(settings)
    master_file(settings).chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        open_keyring(settings)
    with pytest.raises(UsageError, match="no key of 32 bytes") as refused:
        open_keyring(given(settings, master_key="secret words"))
    assert "secret words" not in str(refused.value)


def test_a_command_gives_the_key(settings: Settings) -> None:
    key = new_key()
    told = given(settings, master_key_command=f"echo {encoded(key)}")
    assert open_keyring(told) == open_keyring(given(settings, master_key=encoded(key)))
    with pytest.raises(TailorbirdError, match="master_key_command failed"):
        open_keyring(given(settings, master_key_command="false"))


def test_a_rotation_keeps_every_name_and_shuts_the_old_key_out(settings: Settings) -> None:
    before, old = open_keyring(settings), master_file(settings).read_text().strip()
    rotate(settings, new_master=new_key())
    assert open_keyring(settings) == before
    assert master_file(settings).read_text().strip() != old
    with pytest.raises(UsageError, match="does not open"):
        open_keyring(given(settings, master_key=old))


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_rotation_that_stops_anywhere_leaves_a_keyring_that_opens(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    before = open_keyring(settings)
    writes = iter(range(3))

    def stopping(path: Path, text: str) -> None:
        if next(writes) == stop_at:
            raise KeyboardInterrupt
        write_privately(path, text)

    with monkeypatch.context() as patched:
        patched.setattr("tailorbird.privacy.keys.keyring.write_privately", stopping)
        with pytest.raises(KeyboardInterrupt):
            rotate(settings, new_master=new_key())
    assert open_keyring(settings) == before
    rotate(settings, new_master=new_key())
    assert open_keyring(settings) == before


def test_a_key_from_outside_and_its_successor_both_open_until_the_next_rotation(settings: Settings) -> None:
    keys = [new_key() for _ in range(3)]
    seen: list[Keyring] = [open_keyring(given(settings, master_key=encoded(keys[0])))]
    for old, new in itertools.pairwise(keys):
        rotate(given(settings, master_key=encoded(old)), new_master=new)
        seen += [open_keyring(given(settings, master_key=encoded(each))) for each in (old, new)]
    assert all(each == seen[0] for each in seen)
    with pytest.raises(UsageError, match="does not open"):
        open_keyring(given(settings, master_key=encoded(keys[0])))
