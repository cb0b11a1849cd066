"""Tables at the door: rows of events, as ``ingest`` brings them, with what is kept of their texts."""

from collections.abc import Callable, Mapping

import orjson
import pandas as pd
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.events.rows import user_keys
from tailorbird.events.schema import SAID_TYPES
from tailorbird.features.consent.standing import noted, with_basis
from tailorbird.features.demographics import NOBODY, Demographics
from tailorbird.privacy.door.minimise import Declared
from tailorbird.privacy.door.parting import ids_of, parted
from tailorbird.privacy.policy.policy import Policy
from tailorbird.privacy.policy.rules import Basis


def minimised(
    events: pd.DataFrame,
    raw: pd.DataFrame,
    ciphers: Mapping[str, AESGCM],
    *,
    declared: Declared,
    policy: Policy,
) -> pd.DataFrame:
    """Rows under pseudonyms with what is kept of their texts; ``raw`` has the callers' own ids, ``declared`` counts beside the policy's."""
    if "context" not in events and "properties" not in events:
        return events
    told = policy.declared
    declared = Declared(told.context | declared.context, told.properties | declared.properties)
    absent = pd.Series(None, events.index, object)
    contexts, properties = events.get("context", absent).copy(), events.get("properties", absent).copy()
    spoken = (contexts.notna() | properties.notna()).to_numpy().nonzero()[0]
    people = user_keys(events).to_numpy()
    users, visitors = (raw.get(name, absent).to_numpy(object) for name in ("user_id", "anonymous_id"))
    context_values, property_values = contexts.to_numpy(object).copy(), properties.to_numpy(object).copy()
    plain: dict[object, str | None] = {}  # few contexts come again and again
    for row in spoken.tolist():
        context, said = context_values[row], property_values[row]
        if (said is None or said != said) and context in plain:
            context_values[row] = plain[context]
            continue
        person = people[row]
        kept, kept_said = parted(
            object_of(context),
            object_of(said),
            person=person,
            cipher=ciphers[person],
            declared=declared,
            policy=policy,
            ids=ids_of(users[row], visitors[row]),
        )
        context_values[row] = text_of(kept)
        property_values[row] = text_of(kept_said)
        if not kept_said:
            plain[context] = context_values[row]
    return events.assign(context=context_values, properties=property_values)


def under_basis(events: pd.DataFrame, covers: Basis, told: Callable[[str], Demographics]) -> pd.DataFrame:
    """Rows whose contexts say which purposes a legal basis covers, where that is not the usual; ``told`` is what a person (key) told."""
    if "type" not in events or (not covers.rules and noted(covers.purposes) is None):
        return events
    contexts = events["context"] if "context" in events else pd.Series(None, events.index, object)
    people = user_keys(events) if covers.rules else pd.Series("", events.index)
    known: dict[tuple[object, str], str | None] = {}  # few contexts come again and again
    found = []
    for text, person, kind in zip(contexts, people, events["type"], strict=True):
        if kind in SAID_TYPES:
            found.append(text)
            continue
        asked = (text if isinstance(text, str) else None, person)
        if asked not in known:
            context = object_of(asked[0])
            known[asked] = text_of(
                with_basis(context, covers.of(context, told(person) if person else NOBODY))
            )
        found.append(known[asked])
    return events.assign(context=pd.Series(found, events.index, object))


def object_of(text: object) -> Mapping[str, object]:
    """A JSON object as a table keeps it; empty where there is none."""
    found: Mapping[str, object] = orjson.loads(text) if isinstance(text, str) and text else {}
    return found


def text_of(kept: Mapping[str, object]) -> str | None:
    """A JSON object as a table keeps it; None where it is empty."""
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode() if kept else None
