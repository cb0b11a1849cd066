"""Which purposes a TC string consents to: the core segment of IAB Europe's Transparency and Consent Framework, version 2.

Read here, as the one package for it (iab-tcf) has had no release for years, and installs another's ``bitarray`` and ``tests``.
Source: IAB Tech Lab, "Transparency and Consent String with Global Vendor List Format", core string.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tailorbird.errors import UsageError

PURPOSES = 24
_VERSION_BITS, _FIRST_PURPOSE = 6, 152
"""Version; then times, CMP, language, vendor list and policy; then a bit for each purpose, 1 to 24."""
LONGEST = 4_096


@lru_cache(maxsize=4_096)
def consented(text: str) -> frozenset[int]:
    """The numbers of the purposes that a TC string consents to. Raises UsageError where it is none of version 2."""
    core = text.split(".", 1)[0]
    try:
        if len(text) > LONGEST:
            raise ValueError
        raw = urlsafe_b64decode(core + "=" * (-len(core) % 4))
    except (ValueError, binascii.Error) as error:
        raise _none(text) from error
    bits = int.from_bytes(raw)
    width = len(raw) * 8
    if width < _FIRST_PURPOSE + PURPOSES or bits >> (width - _VERSION_BITS) != 2:
        raise _none(text)
    given = (bits >> (width - _FIRST_PURPOSE - PURPOSES)) & ((1 << PURPOSES) - 1)
    return frozenset(number for number in range(1, PURPOSES + 1) if given >> (PURPOSES - number) & 1)


def purposes_of(text: str, named: Mapping[str, Sequence[int]]) -> dict[str, bool]:
    """A word on each purpose that is ``named``: yes where the string consents to all of its numbers.

    Raises:
        UsageError: the string is none, or nobody said which numbers make which purpose.
    """
    if not named:
        raise UsageError(
            "which purposes a TC string speaks of is not said",
            remedy="write [tcf] into privacy.toml, such as personalization = [1, 5, 6] (docs/privacy.md)",
        )
    given = consented(text)
    return {purpose: given.issuperset(numbers) for purpose, numbers in named.items()}


def told_by(given: object, named: Mapping[str, Sequence[int]]) -> dict[str, bool] | None:
    """What an event's or a request's consent says where it is a TC string that can be read; None where it is anything else."""
    if not named or not isinstance(given, str):
        return None
    try:
        return purposes_of(given, named)
    except UsageError:  # as any text that is none
        return None


def _none(text: str) -> UsageError:
    return UsageError(
        f"no TC string of version 2: {len(text)} characters", remedy="send what __tcfapi answers as tcString"
    )
