"""The doctor's look at the catalogue: this machine's own, or the one that machines share and how far it is followed here."""

from collections.abc import Sequence
from contextlib import closing

from tailorbird.catalog.log.log import LOG_FILE, PatchLog
from tailorbird.catalog.shared.mirror import RECORD_FILE
from tailorbird.catalog.shared.shared import shared_of
from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import without_secret
from tailorbird.settings import Settings


def check_catalogue(settings: Settings) -> Sequence[Finding]:
    """Ask the database of a shared catalogue, and compare what this machine has of it."""
    folder, shared = settings.catalog_folder, shared_of(settings)
    if shared is None:
        if (folder / RECORD_FILE).exists():
            says = "this machine's copy of a shared catalogue, and TAILORBIRD_CATALOG is not set"
            return [Finding("catalogue", str(folder), "broken", says, "set TAILORBIRD_CATALOG")]
        return [Finding("catalogue", str(folder), "ok", "this machine's own")]
    where = without_secret(settings.catalog)
    with closing(shared):
        state = shared.state()
    facts = {"sequence": state.sequence, "tables": sorted(state.tables)}
    if not (folder / RECORD_FILE).exists():
        remedy = "`tailorbird serve` or `tailorbird ingest` brings it"
        return [Finding("catalogue", where, "warning", "answers; not on this machine yet", remedy, facts)]
    with closing(PatchLog(folder / LOG_FILE)) as log:
        behind = state.sequence - log.end()
    says = f"shared by machines; this one lacks {behind:,} of {state.sequence:,} patches"
    return [Finding("catalogue", where, "ok", says, facts={**facts, "behind": behind})]
