"""Addresses of a Redis, and certificates that are not what they should be: each is refused with what to do."""

from pathlib import Path

import pytest

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.redis import RedisAddress, errors_of_client, remedy_of
from tailorbird.settings import load_settings
from tests.certificates import Authority
from tests.redis_server import RedisServer, free_port, new_server


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("redis://", "no scheme, host"),
        ("memcached://host", "no scheme, host"),
        ("redis://host:port/0", "cannot be read"),
        ("redis://host/zero", "cannot be read"),
        ("redis://host/0?ttl=3", "no option 'ttl'"),
        ("rediss://host/0?ssl_cert_reqs=none", "no option 'ssl_cert_reqs'"),
        ("redis://host/0?ca=/etc/hosts", "is for rediss"),
        ("rediss://host/0?ca=/no/such/file", "is no file"),
        ("redis://host/0?cluster=yes", "not true or false"),
        ("redis://host/3?cluster=true", "only database 0"),
        ("redis://host/0?prefix={a}", "other letters"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_with_it_and_never_its_password(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        RedisAddress.parse(text.replace("://host", "://ann:secret@host"), setting="online")
    assert "secret" not in str(caught.value)
    assert "rediss://" in caught.value.remedy


def test_an_address_is_shown_without_its_password() -> None:
    address = RedisAddress.parse("redis://ann:se%40cret@[::1]:7000/3?prefix=shop", setting="online")
    assert (address.user, address.password, address.prefix) == ("ann", "se@cret", "shop")
    assert str(address) == "redis://[::1]:7000/3"
    assert "cret" not in repr(address)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), "ours")


def serving(folder: Path, cert: Path) -> tuple[RedisServer, int]:
    """A Redis that speaks TLS with this certificate, and its port."""
    port = free_port()
    options = ("--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", cert)
    more = ("--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
    return new_server(folder, *map(str, (*options, *more))), port


@pytest.mark.parametrize(
    ("case", "remedy"),
    [
        ("good", ""),
        ("other authority", "ca="),
        ("other host", "name the host as its certificate does"),
        ("expired", "renewed"),
        ("plain", "TLS"),
    ],
)
def test_a_certificate_is_checked_for_its_authority_its_host_and_its_dates(
    authority: Authority, tmp_path: Path, case: str, remedy: str
) -> None:
    host = "other.example" if case == "other host" else "127.0.0.1"
    cert = authority.sign(tmp_path, host=host, ends_in_days=-1 if case == "expired" else 5)
    ca = Authority.make(tmp_path, "other").file if case == "other authority" else authority.file
    server, port = serving(tmp_path / "redis", cert)
    try:
        text = f"rediss://127.0.0.1:{server.port if case == 'plain' else port}/0"
        chosen = load_settings(online=text, tls_ca=str(ca))
        client = RedisAddress.parse(chosen.online, setting="online").connect(
            timeout_seconds=0.5 if case == "plain" else 20.0
        )
        if case == "good":
            assert client.ping()
            return
        with pytest.raises(errors_of_client()) as caught:
            client.ping()
        assert remedy in remedy_of(f"{caught.value} {caught.value.__cause__ or ''}"), caught.value
    finally:
        server.kill()


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(TailorbirdError, match="not installed") as caught:
        errors_of_client()
    assert "tailorbird[redis]" in caught.value.remedy
