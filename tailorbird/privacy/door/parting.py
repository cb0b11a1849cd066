"""What of an event's texts is kept as it came, and what is sealed under its person's key or left outside."""

import re
from base64 import b64encode
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.events.contract import Sent
from tailorbird.features.consent.standing import BASIS, GIVEN
from tailorbird.privacy.door.minimise import SEALED, Declared, parted_context, parted_properties
from tailorbird.privacy.erasure.mentions import SHORT
from tailorbird.privacy.keys.sealing import seal
from tailorbird.privacy.policy.policy import Policy
from tailorbird.privacy.policy.tcf import told_by

_OF_CONSENTS = ("version", "source", "right")
"""What a consent tells of its text in a word names nobody; sentences, addresses, its proof and its reason may."""
_is_label = re.compile(r"(?!.*\d{7})[\w.+-]{1,64}").fullmatch


def parted(
    context: Mapping[str, object],
    properties: Mapping[str, object],
    *,
    person: str,
    cipher: AESGCM,
    declared: Declared,
    ids: AbstractSet[str],
    policy: Policy,
) -> tuple[dict[str, object], dict[str, object]]:
    """What is kept of an event's ``context`` and ``properties``; the rest is sealed under the person's ``cipher``, or dropped.

    ``ids`` are the caller's own ids of the person, which are personal wherever they stand.
    """
    setting = parted_context(context, declared=declared, ids=ids)
    if (said_by_tcf := told_by(context.get(GIVEN), policy.tcf)) is not None:
        setting.kept[GIVEN] = said_by_tcf  # the string itself is sealed, and proves it
    if BASIS in setting.kept:  # a sender's own word of this name
        setting.personal[BASIS] = setting.kept.pop(BASIS)
    said = parted_properties(properties, declared=declared, ids=ids)
    if policy.personal == "seal" and (setting.personal or said.personal):
        plain = orjson.dumps({"context": setting.personal, "properties": said.personal})
        said.kept[SEALED] = b64encode(seal(cipher, plain, purpose=f"event {person}")).decode()
    return setting.kept, said.kept


def of_consent(event: Sent) -> Declared:
    """What a consent tells of its text that names nobody."""
    told = {name: event.properties.get(name) for name in _OF_CONSENTS}
    return Declared(
        properties=frozenset(name for name, text in told.items() if isinstance(text, str) and _is_label(text))
    )


def ids_of(*raw: object) -> AbstractSet[str]:
    """Those ids of a person by which a number may be known as theirs: a shorter one may be any number."""
    return {text for each in raw if each is not None and len(text := str(each)) >= SHORT}
