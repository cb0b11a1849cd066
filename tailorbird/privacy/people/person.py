"""Who a person is: their user key and every anonymous key that was ever linked to it and not parted since."""

from collections.abc import Collection, Mapping

import pyarrow as pa

from tailorbird.events.schema import ANONYMOUS, IDENTIFY, LINK_TYPES, Event, id_of, user_key
from tailorbird.streams.stream import Stream

_COLUMNS = ("user_key", "anonymous_id", "type", "event_time", "message_id")


def keys_of(events: Stream[Event], people: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Every key of each of ``people`` (person keys), in one look at the links of everybody asked for.

    An anonymous key that belongs to one user is that person, with everything else that is theirs. One that several
    users share is nobody's alone: it stands for itself, and what they did as users stays theirs.
    """
    links = _links(events, "user_key", [key for key in people if not key.startswith(ANONYMOUS)])
    anonymous = {key for key in people if key.startswith(ANONYMOUS)}
    owners: dict[str, set[str]] = {key: set() for key in anonymous}
    if anonymous:
        for user, joined in _links(events, "anonymous_id", [id_of(key) for key in anonymous]).items():
            for key in joined & anonymous:
                owners[key].add(user)
        owning = {next(iter(users)) for users in owners.values() if len(users) == 1}
        links |= _links(events, "user_key", sorted(owning - links.keys()))
    found: dict[str, tuple[str, ...]] = {}
    for key in people:
        users = owners.get(key, set())
        own = next(iter(users)) if len(users) == 1 else key
        found[key] = tuple(dict.fromkeys([own, key, *sorted(links.get(own, ()))]))
    return found


def _links(events: Stream[Event], column: str, values: Collection[str]) -> dict[str, set[str]]:
    """The anonymous keys that are joined to each user, by the newest word on each; of those that ``values`` are about."""
    if not values:
        return {}
    newest: dict[tuple[str, str], tuple[int, str, bool]] = {}
    where = [("type", "in", sorted(LINK_TYPES)), (column, "in", list(values))]
    for batch in events.scan(columns=_COLUMNS, where=where):
        times = batch["event_time"].cast(pa.int64()).to_pylist()
        rows: Mapping[str, list[str]] = {
            name: batch[name].to_pylist() for name in ("user_key", "anonymous_id", "type", "message_id")
        }
        for person, anonymous_id, kind, message, time in zip(*rows.values(), times, strict=True):
            if anonymous_id and not person.startswith(ANONYMOUS):
                word = (time, message, kind == IDENTIFY)
                place = (person, user_key(user_id=None, anonymous_id=anonymous_id))
                newest[place] = max(newest.get(place, word), word)
    joined: dict[str, set[str]] = {}
    for (person, key), (_, _, together) in newest.items():
        if together:
            joined.setdefault(person, set()).add(key)
    return joined
