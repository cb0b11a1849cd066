"""The fallback chain: what is shown where the model has nothing: the segment's favourites, everybody's, the editor's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tailorbird.catalog.catalog import Catalog

SEGMENT, EVERYONE, EDITORIAL = "segment_popularity", "popularity", "editorial"


@dataclass(frozen=True)
class FallbackChain:
    """Lists of catalogue rows, best first. The editorial list ends with every item there is, so it never runs dry."""

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
        chosen = _known_rows(catalog, editorial)
        rest = np.setdiff1d(np.arange(len(catalog)), chosen)
        return cls(
            everyone=_known_rows(catalog, everyone),
            editorial=np.concatenate([chosen, rest]),
            segments={name: _known_rows(catalog, ids) for name, ids in (segments or {}).items()},
        )

    def lists(self, segment: str) -> Iterator[tuple[str, np.ndarray]]:
        """The lists to try, in order, each with its name."""
        if segment in self.segments:
            yield SEGMENT, self.segments[segment]
        yield EVERYONE, self.everyone
        yield EDITORIAL, self.editorial


def _known_rows(catalog: Catalog, item_ids: Sequence[str]) -> np.ndarray:
    rows = catalog.rows(dict.fromkeys(item_ids)).astype(np.int64)
    return rows[rows >= 0]
