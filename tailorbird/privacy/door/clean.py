"""Contexts from which nothing is taken, whoever they are about: few come again and again, and are looked at once."""

from collections.abc import Mapping

from tailorbird.features.consent.standing import BASIS, GIVEN
from tailorbird.privacy.door.minimise import Declared, parted_context
from tailorbird.privacy.erasure.mentions import SHORT

_REMEMBERED = 4_096
_MOST_MARKS, _LONGEST = 32, 128
"""Of a context that is remembered, its names and the characters of a text: larger ones seldom come again, and fill the memory."""


class CleanContexts:
    """Remembers them, which hold words and short numbers alone. Thread-safe; made for what is ``declared``."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._known: dict[tuple[tuple[str, object], ...], None] = {}

    def holds(self, context: Mapping[str, object]) -> bool:
        """Whether all of a context is kept as it came. False tells nothing."""
        marks = tuple(
            context.items()
        )  # 1, 1.0 and True are one here: each is kept as it is, and is nobody's id
        try:
            if marks in self._known:
                return True
        except TypeError:  # it holds an object or a list
            return False
        if not self._is_clean(context):
            return False
        if len(marks) > _MOST_MARKS or any(
            isinstance(each, str) and len(each) > _LONGEST for _, each in marks
        ):
            return True
        if len(self._known) >= _REMEMBERED:
            self._known = {}
        self._known[marks] = None
        return True

    def _is_clean(self, context: Mapping[str, object]) -> bool:
        if GIVEN in context or BASIS in context or any(map(_may_be_an_id, context.values())):
            return False
        parted = parted_context(context, declared=self._declared)
        return not parted.personal and parted.kept == context


def _may_be_an_id(value: object) -> bool:
    return isinstance(value, int | float) and len(f"{value:.15g}") >= SHORT
