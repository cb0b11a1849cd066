"""What logins and logouts say of a device: written once more under the anonymous id alone, whose profile it divides."""

import hashlib
from collections.abc import Iterable

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import DEVICE_LOGIN, IDENTIFY, LOGOUT, Event

USER = "user"
"""Under which name the context of a ``device_login`` holds the key of who logged in: a number, no name."""


def device_words(events: Iterable[Event]) -> list[Event]:
    """The words that ``events`` say of devices and that are not under the anonymous id yet, with derived message ids.

    An event that names a user belongs to the user's profile. The anonymous id's own has to know of it, too: another
    person's login must not reach what this one did on the same device.
    """
    return [_word(event) for event in events if _hands_over(event)]


def _hands_over(event: Event) -> bool:
    return event.type in (IDENTIFY, LOGOUT) and bool(event.user_id and event.anonymous_id)


def _word(event: Event) -> Event:
    login = event.type == IDENTIFY
    digest = hashlib.blake2b(f"{event.type} {event.message_id}".encode(), digest_size=12).hexdigest()
    return Event(
        message_id=f"device-{digest}",
        type=DEVICE_LOGIN if login else LOGOUT,
        event_time=event.event_time,
        received_time=event.received_time,
        anonymous_id=event.anonymous_id,
        context={USER: str(stable_key(event.user_key))} if login else {},
    )
