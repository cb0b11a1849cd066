"""Beyond this machine nothing is served without keys, nor without encryption that somebody vouches for."""

from pathlib import Path

import pytest

from tailorbird.access.doors import require_doors
from tailorbird.access.file import change_keys
from tailorbird.access.keys import Key, Secret
from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import is_loopback
from tailorbird.settings import Settings, load_settings

BEYOND = ("0.0.0.0", "::", "10.0.0.7", "shop.internal", "")


def settings(folder: Path, **more: object) -> Settings:
    return load_settings(home=folder, workspace="shop", **more)


def one_key(chosen: Settings) -> None:
    key = Key("0" * 16, "n", frozenset({"admin"}), (Secret("a" * 64),), 0.0)
    change_keys(chosen.keys_file, lambda known: [key])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_this_machine_doors_open_with_and_without_keys(tmp_path: Path, host: str):
    chosen = settings(tmp_path, host=host)
    assert is_loopback(host)
    assert "no keys" in require_doors(chosen)
    one_key(chosen)
    assert "every call needs a key" in require_doors(chosen)


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_it_keys_come_first_then_encryption(tmp_path: Path, host: str):
    assert not is_loopback(host)
    for forced in (False, True):
        with pytest.raises(UsageError, match="has no keys") as refused:
            require_doors(settings(tmp_path, host=host, force_plain=forced))
        assert "tailorbird keys new" in refused.value.remedy
    one_key(settings(tmp_path))
    with pytest.raises(UsageError, match="unencrypted") as refused:
        require_doors(settings(tmp_path, host=host))
    assert "TAILORBIRD_FORCE_PLAIN" in refused.value.remedy
    assert "every call needs a key" in require_doors(settings(tmp_path, host=host, force_plain=True))


def test_the_file_of_keys_may_be_elsewhere_and_must_be_right(tmp_path: Path):
    chosen = settings(tmp_path, keys=str(tmp_path / "mounted" / "keys.json"))
    one_key(chosen)
    assert "every call" in require_doors(chosen)
    chosen.keys_file.write_text("damaged")
    with pytest.raises(UsageError, match="cannot be read"):
        require_doors(chosen)
