"""Beyond this machine nothing is served without keys, nor without encryption that somebody vouches for."""

from pathlib import Path

import pytest

from tailorbird.access.doors import plain_ways, require_doors
from tailorbird.access.file import change_keys
from tailorbird.access.health import check_encryption
from tailorbird.access.keys import Key, Secret
from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import is_loopback
from tailorbird.settings import Settings, load_settings
from tests.certificates import Authority

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


def test_with_a_certificate_no_proxy_need_be_vouched_for(tmp_path: Path):
    ours = Authority.make(tmp_path, "ours")
    good = ours.sign(tmp_path, host="shop.example")
    one_key(settings(tmp_path))
    assert "every call" in require_doors(settings(tmp_path, host="0.0.0.0", tls_cert=str(good)))
    assert plain_ways(settings(tmp_path, host="0.0.0.0", tls_cert=str(good))) == []
    assert plain_ways(settings(tmp_path, host="0.0.0.0", force_plain=True))[0].startswith("callers")
    with pytest.raises(UsageError, match="unencrypted"):
        require_doors(settings(tmp_path, host="0.0.0.0"))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_certificate_that_nobody_would_believe_is_refused_at_the_start(tmp_path: Path, host: str):
    ours = Authority.make(tmp_path, "ours")
    good, expired = ours.sign(tmp_path, host=host), ours.sign(tmp_path, host=host, ends_in_days=-1)
    one_key(settings(tmp_path))
    wrong = {
        "cannot be used.*No such file": {"tls_cert": str(tmp_path / "none.pem")},
        "cannot be used.*KEY_VALUES_MISMATCH": {"tls_cert": str(good), "tls_key": str(expired)},
        "cannot be used.*PEM": {"tls_cert": str(settings(tmp_path).keys_file)},
        "good from": {"tls_cert": str(expired)},
        "no certificate": {"tls_key": str(good)},
    }
    for said, chosen in wrong.items():
        with pytest.raises(UsageError, match=said) as refused:
            require_doors(settings(tmp_path, host=host, force_plain=True, **chosen))
        assert refused.value.remedy


def test_the_doctor_sees_certificates_run_out_and_what_goes_unencrypted(tmp_path: Path):
    ours = Authority.make(tmp_path, "ours")
    signed = {days: str(ours.sign(tmp_path, host="127.0.0.1", ends_in_days=days)) for days in (-1, 3, 40)}
    states = {
        days: [each.state for each in check_encryption(settings(tmp_path, tls_cert=file))]
        for days, file in signed.items()
    }
    assert states == {-1: ["broken"], 3: ["warning"], 40: ["ok"]}
    assert [each.state for each in check_encryption(settings(tmp_path))] == ["ok"]
    forced = settings(
        tmp_path, host="0.0.0.0", force_plain=True, plain_engines=True, online="redis://cache/0"
    )
    assert [each.state for each in check_encryption(forced)] == ["warning", "warning", "ok"]
