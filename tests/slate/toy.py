"""A toy shop with a known answer: twelve items in three categories, a model that ranks by row number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.models.allowed import Allowed
from tailorbird.slate.fallback import FallbackChain
from tailorbird.slate.newcomers import Newcomers
from tailorbird.slate.query import Candidates, Query
from tailorbird.slate.recommender import Policy, Recommender
from tailorbird.slate.shelf import Shelf

NOW = 1_700_000_000.0
CATALOG = Catalog.from_frame(
    pd.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(12)],
            "categories": [[["tea", "cups", "pots"][n // 4]] for n in range(12)],
            "brand": ["north" if n % 2 else "south" for n in range(12)],
            "price": [float(n) for n in range(12)],
            "stock": [0.0 if n == 3 else 5.0 for n in range(12)],
        }
    )
)
FACTS = ItemFacts.of(CATALOG)


@dataclass(frozen=True)
class RowStages:
    """Proposes the lowest rows and likes them in that order; ``first`` and ``second`` share the even rows."""

    catalog: Catalog = CATALOG
    reach: int = 12
    heads: tuple[str, ...] = ()

    def retrieve(
        self, queries: Sequence[Query], *, depths: Sequence[int], allowed: Sequence[Allowed]
    ) -> list[Candidates]:
        return [self.retrieve_one(*asked) for asked in zip(queries, depths, allowed, strict=True)]

    def retrieve_one(self, query: Query, depth: int, allowed: Allowed) -> Candidates:
        rows = np.arange(self.reach)
        rows = rows[allowed.of(rows)][:depth]
        ranks = np.stack([rows, np.where(rows % 2 == 0, rows // 2, -1)], axis=1).astype(np.int32)
        return Candidates(rows, ("first", "second"), ranks)

    def admit(self, query: Query, rows: np.ndarray) -> Candidates:
        return Candidates(rows, ("first", "second"), np.full((len(rows), 2), -1, np.int32))

    def score(
        self, queries: Sequence[Query], candidates: Sequence[Candidates]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(-found.rows.astype(np.float32), np.array([1.0, 2.0], np.float32)) for found in candidates]

    def inputs(self, query: Query, candidates: Candidates) -> None:
        """Nothing: this ranker reads row numbers."""

    def newcomers(self, *, new_days: float, first_impressions: int) -> Newcomers:
        return Newcomers(np.array([9, 10, 11]), np.array([0.5, 0.3, 0.2]))

    def neighbours(self, row: int, *, depth: int) -> tuple[Candidates, np.ndarray]:
        rows = np.array(
            [r for r in sorted(range(12), key=lambda r: abs(r - row)) if r != row][:depth], np.int64
        )
        return Candidates(rows, ("near",), np.arange(len(rows), dtype=np.int32)[:, None]), -np.abs(rows - row)


class BrokenStages(RowStages):
    """A model that fails at every request, or only at those of ``victim``."""

    victim: str = ""

    def retrieve_one(self, query: Query, depth: int, allowed: Allowed) -> Candidates:
        if self.victim in ("", query.state.user_key):
            raise RuntimeError("index is broken")
        return super().retrieve_one(query, depth, allowed)

    def admit(self, query: Query, rows: np.ndarray) -> Candidates:
        raise RuntimeError("ranker is broken")


def recommender(
    stages: RowStages | None = RowStages(), *, version: str = "1", **policy: object
) -> Recommender:
    settings = {"max_category_share": 1.0, **policy}
    return Recommender(
        name="toy",
        version=version if stages is not None else "",
        shelf=Shelf.of(CATALOG),
        chain=FallbackChain.of(CATALOG, everyone=["i7", "i5", "gone"], segments={"tea-lovers": ["i2"]}),
        stages=stages,
        policy=Policy(**settings),  # type: ignore[arg-type]
    )


def state(*acts: tuple[str, str], user: str = "ann") -> UserState:
    """The profile of somebody who did ``acts``: (type, item)."""
    events = [
        Event(f"{user}-{n}", kind, NOW - 100 + n, NOW - 100 + n, user_id=user, item_id=item)
        for n, (kind, item) in enumerate(acts)
    ]
    return fold(UserState.empty(user), events, FACTS)


def query(*acts: tuple[str, str], **wishes: object) -> Query:
    return Query(state(*acts), NOW, **wishes)  # type: ignore[arg-type]
