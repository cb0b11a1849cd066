"""Units: what is assigned. A person is the name under which they first came, so that logging in moves nobody.

A visitor who logs in keeps what the anonymous id was assigned, on every device and after every further login, as long as the
first anonymous id of theirs stays joined. Somebody who came under a user id first, without any anonymous one, changes once, when
one is joined; readouts leave units out that had two variants.
"""

from collections.abc import Collection, Mapping
from typing import Any

from tailorbird.events.schema import ANONYMOUS, user_key
from tailorbird.features.consent.consents import ANALYTICS, PERSONALIZATION
from tailorbird.features.consent.standing import COVERED, NEVER, USUAL_BASIS, standing_of
from tailorbird.features.profile.state import UserState


def person_unit(state: UserState) -> str:
    """The key under which a person is assigned: of the anonymous ids that are joined to them the first, else their own."""
    if state.user_key.startswith(ANONYMOUS):
        return state.user_key
    joined = [(link.first, link.message, name) for name, link in state.links.newest.items() if link.joined]
    return user_key(user_id=None, anonymous_id=min(joined)[2]) if joined else state.user_key


def may_be_unit(
    state: UserState, context: Mapping[str, Any], *, basis: Collection[str] = USUAL_BASIS
) -> bool:
    """Whether a person may be measured: by their words on personalization and analytics, by the request's own, by the ``basis``."""
    consents = state.links.consents
    for purpose in (PERSONALIZATION, ANALYTICS):
        standing = standing_of(context, purpose, basis=basis)
        if standing == NEVER or not consents.serves(purpose, covered=standing == COVERED):
            return False
    return True
