"""The doctor's look at the keys that people are named by: whether they open, and whether other machines can have the same."""

from collections.abc import Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.privacy.keyring import keyring_file, open_keyring
from tailorbird.privacy.master import given_from_outside
from tailorbird.settings import Settings


def check_people(settings: Settings) -> Sequence[Finding]:
    """Open the keyring; where there is none yet, nothing is made."""
    path = keyring_file(settings)
    if not path.exists():
        says = "no keys yet: the first command that names a person makes them"
        return [Finding("people", str(path), "ok", says)]
    facts = {"fingerprint": open_keyring(settings).fingerprint}
    if settings.events != "sqlite" and not given_from_outside(settings):
        says, remedy = (
            "opens, by a master key that only this machine has: another one would call everybody something else",
            "give all machines the same TAILORBIRD_MASTER_KEY: that of secrets/master.key",
        )
        return [Finding("people", str(path), "warning", says, remedy, facts)]
    return [Finding("people", str(path), "ok", f"opens; fingerprint {facts['fingerprint']}", facts=facts)]
