"""What an event's own context says of a purpose it may serve: never, without a word of the person, or only by one."""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.events.schema import Event
from tailorbird.features.consent.consents import ANALYTICS, PERSONALIZATION, SAID, Consents
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.history.records import microseconds

BASIS = "basis"
"""Where the platform notes in a context which purposes a legal basis covered when the event came. Where it does not:"""
USUAL_BASIS = (PERSONALIZATION, ANALYTICS)
GIVEN = "consent"
"""Where a sender says what the person consented to: truth values by purpose, or one for the usual ones."""
_SPEAKING = frozenset((SAID, GIVEN, BASIS))
Standing = Literal[-1, 0, 1]
NEVER: Standing = -1
"""Said with the event itself: it serves not."""
BY_WORD: Standing = 0
"""No basis covers it: it serves where the person said yes before."""
COVERED: Standing = 1
"""By a legal basis, or by a consent that came with it."""


def standing_of(
    context: Mapping[str, object],
    purpose: str,
    *,
    basis: Collection[str] = USUAL_BASIS,
    taken_back: bool = False,
) -> Standing:
    """How an event with this context stands to a purpose, before any word of the person.

    ``basis`` are the purposes covered where the context does not say. One that was ``taken_back`` covers nothing, whatever the
    context notes.
    """
    if _SPEAKING.isdisjoint(context):  # as nearly all do, in every request
        return COVERED if purpose in basis and not taken_back else BY_WORD
    for said in (context.get(SAID), context.get(GIVEN)):
        own = said.get(purpose) if isinstance(said, Mapping) else None
        if isinstance(own, bool):
            return COVERED if own else NEVER
    if (given := context.get(GIVEN)) is False:
        return NEVER
    if given is True and purpose in USUAL_BASIS:
        return COVERED
    if taken_back:
        return BY_WORD
    if BASIS in context:
        noted_then = context[BASIS]
        return COVERED if isinstance(noted_then, list) and purpose in noted_then else BY_WORD
    return COVERED if purpose in basis else BY_WORD


def standings_of(
    contexts: "pd.Series | pa.Array | pa.ChunkedArray",
    purpose: str,
    *,
    taken_back: np.ndarray | None = None,
) -> np.ndarray:
    """(n,) int8: :func:`standing_of` of contexts as a log keeps them, JSON objects or None; ``taken_back`` (n,) bool, if any."""
    arrow = isinstance(contexts, pa.Array | pa.ChunkedArray)
    column = contexts.cast(pa.string()) if arrow else pa.array(contexts, pa.string())
    ended = np.zeros(len(column), bool) if taken_back is None else taken_back
    by_default = [standing_of({}, purpose, taken_back=each) for each in (False, True)]
    found = np.array(by_default, np.int8)[ended.astype(int)]
    spoken = pc.match_substring_regex(column, f'"({SAID}|{GIVEN}|{BASIS})"')
    places = np.flatnonzero(pc.fill_null(spoken, False).to_numpy(zero_copy_only=False))
    if len(places):
        said = list(zip(column.take(pa.array(places)).to_pylist(), ended[places].tolist(), strict=True))
        known = {
            (text, each): standing_of(_object(text), purpose, taken_back=each) for text, each in set(said)
        }
        found[places] = [known[each] for each in said]
    return found


def standing_in(event: Event, purpose: str, *, taken_back: int = ALWAYS[0]) -> Standing:
    """:func:`standing_of` of an event's context; of what was before ``taken_back`` (epoch microseconds) no basis covers anything any more.

    A clock that ran ahead does not put what had come before that instant after it.
    """
    ended = microseconds(min(event.event_time, event.received_time)) < taken_back
    return standing_of(event.context, purpose, taken_back=ended)


def may_serve(event: Event, *, purpose: str, consents: Consents, taken_back: int = ALWAYS[0]) -> bool:
    """Whether an event may serve a purpose, by the words under its key, and a basis unless that was ``taken_back``."""
    standing = standing_in(event, purpose, taken_back=taken_back)
    since = consents.since(purpose, covered=standing == COVERED)
    return standing != NEVER and microseconds(event.event_time) >= since


def noted(basis: Collection[str]) -> list[str] | None:
    """What a context says under BASIS of the purposes that a basis covers; None where it is the usual and nothing is said."""
    return None if set(basis) == set(USUAL_BASIS) else sorted(basis)


def with_basis(context: Mapping[str, object], basis: Collection[str]) -> Mapping[str, object]:
    """A context that says which purposes a basis covered, where that is not the usual."""
    told = noted(basis)
    return context if told is None else {**context, BASIS: told}


def _object(text: str) -> Mapping[str, object]:
    try:
        found = orjson.loads(text)
    except ValueError:
        return {BASIS: None}  # nobody can tell
    return found if isinstance(found, dict) else {BASIS: None}
