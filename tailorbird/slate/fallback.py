"""The fallback chain: what is shown where the model has nothing: the segment's favourites, everybody's, the editor's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.models.allowed import Allowed

PIECE = 512
"""Rows of a list that are looked at together: the first few are mostly enough."""
SEGMENT, EVERYONE, EDITORIAL = "segment_popularity", "popularity", "editorial"


@dataclass(frozen=True)
class FallbackChain:
    """Lists of catalogue rows, best first. After the editorial list every item there is follows, so it never runs dry."""

    everyone: np.ndarray
    editorial: np.ndarray
    segments: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        *,
        everyone: Sequence[str] = (),
        segments: Mapping[str, Sequence[str]] | None = None,
        editorial: Sequence[str] = (),
    ) -> "FallbackChain":
        """Translate lists of item ids; ids that the catalogue lacks are left out."""
        return cls(
            everyone=_known_rows(catalog, everyone),
            editorial=_known_rows(catalog, editorial),
            segments={name: _known_rows(catalog, ids) for name, ids in (segments or {}).items()},
        )

    def lists(self, segment: str, allowed: Allowed) -> Iterator[tuple[str, np.ndarray]]:
        """What is ``allowed`` of the lists, in their order, piece by piece, each piece with its list's name."""
        if segment in self.segments:
            yield from _pieces(SEGMENT, self.segments[segment], allowed)
        yield from _pieces(EVERYONE, self.everyone, allowed)
        yield from _pieces(EDITORIAL, self.editorial, allowed)
        yield from _pieces(EDITORIAL, allowed.blocked.free_rows, allowed)


def _pieces(name: str, rows: np.ndarray, allowed: Allowed) -> Iterator[tuple[str, np.ndarray]]:
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        yield name, piece[allowed.of(piece)]


def _known_rows(catalog: Catalog, item_ids: Sequence[str]) -> np.ndarray:
    rows = catalog.rows(dict.fromkeys(item_ids)).astype(np.int64)
    return rows[rows >= 0]
