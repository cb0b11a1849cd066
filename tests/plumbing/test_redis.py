"""Addresses of a Redis, and certificates that are not what they should be: each is refused with what to do."""

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.redis import RedisAddress, errors_of_client, remedy_of
from tests.redis_server import RedisServer, free_port, new_server

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


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
def authority(tmp_path_factory: pytest.TempPathFactory) -> "Authority":
    return Authority(tmp_path_factory.mktemp("authority"))


class Authority:
    """A certificate authority and what it has signed, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        self.file = folder / "ca.pem"
        self.file.write_bytes(
            self._signed(self._name, self._key.public_key(), until=NOW + DAY, authority=True)
        )

    def sign(self, name: str, *, host: str, until: dt.datetime = NOW + DAY) -> tuple[Path, Path]:
        """A certificate for a host, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        cert, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(self._signed(subject, key.public_key(), until=until, host=host))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert, private

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        until: dt.datetime,
        host: str = "",
        authority: bool = False,
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(NOW, until) - DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            try:
                name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
            except ValueError:
                name = x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def serving(folder: Path, cert: tuple[Path, Path]) -> tuple[RedisServer, int]:
    """A Redis that speaks TLS with this certificate, and its port."""
    port = free_port()
    options = ("--tls-port", port, "--tls-cert-file", cert[0], "--tls-key-file", cert[1])
    more = ("--tls-ca-cert-file", cert[0], "--tls-auth-clients", "no")
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
    cert = authority.sign(case, host=host, until=NOW - DAY if case == "expired" else NOW + DAY)
    ca = Authority(tmp_path).file if case == "other authority" else authority.file
    server, port = serving(tmp_path / "redis", cert)
    try:
        text = f"rediss://127.0.0.1:{server.port if case == 'plain' else port}/0?ca={ca}"
        client = RedisAddress.parse(text, setting="online").connect(
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
