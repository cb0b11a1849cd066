"""The doctor's look at encryption: the certificate of the door, and what leaves this machine as plain text."""

import datetime as dt
from collections.abc import Sequence

from tailorbird.access.certificate import certificate_of
from tailorbird.access.doors import plain_ways
from tailorbird.doctor.finding import Finding
from tailorbird.errors import UsageError
from tailorbird.settings import Settings

SOON_DAYS = 14


def check_encryption(settings: Settings) -> Sequence[Finding]:
    """Whether the certificate can be shown and for how long, and each way that is not encrypted."""
    remedy = "docs/access.md says how each speaks TLS"
    found = [
        Finding("encryption", "", "warning", f"not encrypted: {way}", remedy) for way in plain_ways(settings)
    ]
    certificate = certificate_of(settings)
    if certificate is None:
        says = "no certificate: callers are answered plainly" + ("" if found else ", on this machine alone")
        return [*found, Finding("encryption", "", "ok", says)]
    where = str(certificate.chain)
    try:
        good = certificate.require_good()
    except UsageError as error:
        return [*found, Finding("encryption", where, "broken", error.what, error.remedy)]
    left = (good.not_valid_after_utc - dt.datetime.now(dt.UTC)).days
    says = f"good until {good.not_valid_after_utc:%Y-%m-%d}, {left} days"
    if left < SOON_DAYS:
        remedy = "have it renewed in its place: the door shows the new one without a restart"
        return [*found, Finding("encryption", where, "warning", says, remedy, {"days": left})]
    return [*found, Finding("encryption", where, "ok", says, facts={"days": left})]
