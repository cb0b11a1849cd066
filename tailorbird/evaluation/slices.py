"""Slices: the kinds of cases whose figures stand apart, so that a good mean cannot hide a bad corner."""

from collections.abc import Mapping

import numpy as np

from tailorbird.evaluation.cases import Cases

RARE_BELOW = 10
"""An item with fewer training users than this, and at least one, is rare."""

HISTORY_EDGES: tuple[tuple[str, int, int], ...] = (
    ("history:none", 0, 0),
    ("history:1-5", 1, 5),
    ("history:6-50", 6, 50),
    ("history:51+", 51, 2**31 - 1),
)


def standard_slices(
    cases: Cases, *, popularity: np.ndarray, segments: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Name the slices of some cases: ``{name: (n,) bool}``; those without a case are left out.

    ``items:cold`` are targets without a training user, ``items:rare`` those with few; ``repeat`` and
    ``novel`` say whether the user had the item before (absent where repeats cannot happen); ``history:…``
    counts what was known of the user. ``segments`` maps a name to (n,) labels, each label a slice
    ``name:label``. ``popularity`` (n_items,) training users of each item.
    """
    seen = popularity[cases.targets]
    slices = {"items:cold": seen == 0, "items:rare": (seen > 0) & (seen < RARE_BELOW)}
    if not cases.exclude_seen:
        slices |= {"repeat": cases.repeats, "novel": ~cases.repeats}
    length = (cases.ends - cases.starts)[cases.question]
    slices |= {name: (length >= low) & (length <= high) for name, low, high in HISTORY_EDGES}
    for name, labels in (segments or {}).items():
        text = np.asarray(labels, dtype=str)
        slices |= {f"{name}:{label}": text == label for label in np.unique(text) if label}
    return {name: mask for name, mask in slices.items() if mask.any()}
