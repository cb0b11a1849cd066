"""A section whose setting names an engine: the engine's own check, found by the scheme of the address."""

from collections.abc import Mapping, Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.doctor.sections import imported
from tailorbird.plumbing.addresses import without_secret
from tailorbird.settings import Settings


def check_engine(
    section: str, address: str, settings: Settings, *, known: Mapping[str, str]
) -> Sequence[Finding]:
    """Run the check that ``known`` names for the scheme of ``address``: ``redis`` of ``redis://host:6379/0``."""
    scheme = address.split(":", 1)[0]
    if scheme not in known:
        return [
            Finding(
                section,
                without_secret(address),
                "broken",
                f"there is no engine {without_secret(scheme)!r}",
                remedy=f"set one of {', '.join(known)}",
            )
        ]
    return imported(known[scheme])(settings)
