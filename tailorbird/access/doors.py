"""What must be there before doors open: keys and encryption, for whoever listens beyond this machine."""

from tailorbird.access.certificate import certificate_of
from tailorbird.access.file import read_keys
from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import is_loopback, without_secret
from tailorbird.plumbing.encryption import is_plain, is_plain_ray, plain_storage
from tailorbird.settings import Settings

_VOUCHED = "TAILORBIRD_PLAIN_ENGINES vouches for the network"


def require_doors(settings: Settings) -> str:
    """Who may call once this is served, in words.

    Raises:
        UsageError: it would listen beyond this machine without keys, or without encryption that nobody vouches for; or
            the keys or the certificate cannot be used.
    """
    certificate = certificate_of(settings)
    if certificate is not None:
        certificate.require_good()
    keys = read_keys(settings.keys_file)
    here = is_loopback(settings.host)
    if not here and not keys:
        raise UsageError(
            f"{settings.host} is beyond this machine, and workspace {settings.workspace!r} has no keys",
            remedy="make one first: `tailorbird keys new --name … --scope …` (docs/access.md); or listen on 127.0.0.1",
        )
    if not here and certificate is None and not settings.force_plain:
        raise UsageError(
            f"{settings.host} is beyond this machine, and keys and people's ids would go there unencrypted",
            remedy="give a certificate: TAILORBIRD_TLS_CERT and TAILORBIRD_TLS_KEY; or end TLS in a proxy before the "
            "platform and say so: TAILORBIRD_FORCE_PLAIN=true (docs/access.md)",
        )
    if keys is None:
        return "no keys: whoever is on this machine may call (`tailorbird keys new` closes the doors)"
    return "every call needs a key of this workspace (`tailorbird keys list`)"


def plain_ways(settings: Settings) -> list[str]:
    """What travels unencrypted beyond this machine because a setting allows it, in words."""
    door = not is_loopback(settings.host) and not settings.tls_cert
    said = ["callers: TAILORBIRD_FORCE_PLAIN says that a proxy ends TLS"] if door else []
    for name in ("events", "online", "result_cache", "tracking_uri", "studies", "catalog", "people"):
        if is_plain(address := getattr(settings, name)):
            said.append(f"{name} {without_secret(address)}: {_VOUCHED}")
    if is_plain_ray(settings.ray_address):
        said.append(f"ray_address {without_secret(settings.ray_address)}: {_VOUCHED}")
    if settings.storage:
        said += [f"storage at {without_secret(each)}: {_VOUCHED}" for each in plain_storage()]
    return said
