"""The doctor's look at the keys that people are named by, and at the right by which a workspace uses what they do."""

from collections.abc import Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.addresses import without_secret
from tailorbird.privacy.keys.keyring import keyring_file, open_keyring
from tailorbird.privacy.keys.master import given_from_outside
from tailorbird.privacy.people.pages import book_file
from tailorbird.privacy.people.shared_pages import shared_pages
from tailorbird.privacy.people.shared_people import require_shared_setting
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.settings import Settings


def check_people(settings: Settings) -> Sequence[Finding]:
    """Open the keyring, and ask the database in which machines share people; where there are no keys yet, nothing is made."""
    require_shared_setting(settings)
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
        return [Finding("people", str(path), "warning", says, remedy, facts), *_kept(settings)]
    says = f"opens; fingerprint {facts['fingerprint']}"
    return [Finding("people", str(path), "ok", says, facts=facts), *_kept(settings)]


def _kept(settings: Settings) -> Sequence[Finding]:
    """Where the book and the list of the erased are."""
    if settings.people:
        people, erased = shared_pages(settings, open_keyring(settings)).count()
        says, facts = (
            f"shared by machines: {people:,} people, {erased:,} erased",
            {"people": people, "erased": erased},
        )
        return [Finding("people", without_secret(settings.people), "ok", says, facts=facts)]
    if settings.events == "sqlite":
        return []
    return [
        Finding(
            "people",
            str(book_file(settings)),
            "warning",
            "this machine's own: another one does not know whose id a pseudonym is, nor who was erased here; records in "
            "Kafka lie open within their retention",
            "set TAILORBIRD_PEOPLE on every machine that shares the events",
        )
    ]


def check_privacy(settings: Settings) -> Sequence[Finding]:
    """The legal basis that ``privacy.toml`` declares."""
    path = settings.folder / POLICY_FILE
    policy = read_policy(settings)
    if policy.warning:
        return [
            Finding(
                "privacy",
                str(path),
                "warning",
                "no legal basis is declared for people who said nothing",
                f"write [basis] into {POLICY_FILE} (docs/privacy.md)",
            )
        ]
    purposes = ", ".join(policy.basis_purposes) or "no purpose"
    return [Finding("privacy", str(path), "ok", f"basis {policy.basis} for {purposes}")]
