"""A profile as it is told to whoever asked for it: under the caller's own ids."""

from dataclasses import replace

from tailorbird.events.schema import ANONYMOUS
from tailorbird.features.portrait.portrait import Portrait
from tailorbird.privacy.door.door import Door


def told_to_caller(portrait: Portrait, door: Door, *, asked: str) -> Portrait:
    """The portrait of the person that the caller names ``asked``; a linked key without a page in the book stays a pseudonym."""
    kind = portrait.user_key.split(":", 1)[0]
    ids = door.callers_ids(portrait.linked)
    linked = [f"{ANONYMOUS}{ids[key]}" if key in ids else key for key in portrait.linked]
    return replace(portrait, user_key=f"{kind}:{asked}", linked=linked)
