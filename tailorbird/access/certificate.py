"""The certificate that the platform's door shows, and how programs of this machine know the platform by it."""

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tailorbird.errors import UsageError
from tailorbird.settings import Settings

_ANY_TIME = ssl.VerifyFlags(0x200000)
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: the certificate with those between it and its authority, and its private key."""

    chain: Path
    key: Path

    def require_good(self) -> x509.Certificate:
        """The certificate, once it can be read, fits its key and is in date.

        Raises:
            UsageError: it is not.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.chain, self.key, password=_no_password)
            found = x509.load_pem_x509_certificates(self.chain.read_bytes())[0]
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise UsageError(
                f"certificate {self.chain} with key {self.key} cannot be used: {error}",
                remedy="TAILORBIRD_TLS_CERT names a chain in PEM, TAILORBIRD_TLS_KEY its unencrypted private key",
            ) from error
        now = dt.datetime.now(dt.UTC)
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            raise UsageError(
                f"certificate {self.chain} is good from {found.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}",
                remedy="have it renewed, or set this machine's clock",
            )
        return found


def certificate_of(settings: Settings) -> Certificate | None:
    """What the settings name; None: the door speaks no TLS.

    Raises:
        UsageError: there is a key without a certificate.
    """
    if not settings.tls_cert:
        if settings.tls_key:
            raise UsageError(
                "TAILORBIRD_TLS_KEY is set, and no certificate", remedy="set TAILORBIRD_TLS_CERT too"
            )
        return None
    chain = Path(settings.tls_cert).expanduser().resolve()
    return Certificate(chain, Path(settings.tls_key).expanduser().resolve() if settings.tls_key else chain)


def known_by_its_certificate(settings: Settings) -> ssl.SSLContext | bool:
    """What ``httpx`` needs to ask the platform of this machine, which is called by its address, not by its name.

    Only who shows the very certificate of the settings is believed; whether it is in date, callers elsewhere judge.
    """
    certificate = certificate_of(settings)
    if certificate is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    own = x509.load_pem_x509_certificates(certificate.chain.read_bytes())[0]
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(_der(own)))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _ANY_TIME
    return context


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _no_password() -> str:
    raise ValueError("the private key is encrypted")
