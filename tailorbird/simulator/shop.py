"""The simulated shop: items, users and events to learn from, the truth to measure against, and people who react."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import Event
from tailorbird.simulator.behaviours import NAMES
from tailorbird.simulator.conduct import conduct_alike, plant, planted_starts
from tailorbird.simulator.goods import DAY, make_goods
from tailorbird.simulator.people import make_people, session_starts
from tailorbird.simulator.reaction import react
from tailorbird.simulator.truth import Truth
from tailorbird.simulator.visits import ACTION_TYPES, LOOK, SEARCH, Visits, simulate_visits
from tailorbird.simulator.vocabulary import DEPARTMENTS, contexts_as_json, queries_as_json

SPAN_DAYS = 60
DEFAULT_END = 1_767_225_600.0
"""2026-01-01 00:00 UTC: where the shop's time ends unless told otherwise."""
DEFAULT_SIZE = 2000
SMALLEST, LARGEST = 20, 50_000


@dataclass(frozen=True)
class Shop:
    """A shop with its past and its truth. The same dial always gives the same shop.

    Where ``behaviours`` are planted, each person goes about visits in one of a few ways, and some change it once.
    """

    size: int
    seed: int
    end: float
    truth: Truth
    visits: Visits
    behaviours: bool = False

    @classmethod
    def make(
        cls,
        size: int = DEFAULT_SIZE,
        seed: int = 0,
        *,
        end: float = DEFAULT_END,
        behaviours: bool = False,
    ) -> "Shop":
        """Simulate a shop of ``size`` users over the 60 days before ``end`` (epoch seconds); ~50 events a user.

        With ``behaviours`` people differ not only in what they like but in how they go about a visit: see BEHAVIOURS.

        Raises UsageError on a size outside 20 to 50,000.
        """
        if not SMALLEST <= size <= LARGEST:
            raise UsageError(f"shop of {size} users", remedy=f"give a size from {SMALLEST} to {LARGEST:,}")
        if seed < 0:
            raise UsageError(f"seed {seed}", remedy="give a seed from 0 on")
        goods_rng, people_rng, visits_rng, conduct_rng = map(
            np.random.default_rng, np.random.SeedSequence(seed).spawn(4)
        )
        start = end - SPAN_DAYS * DAY
        # Items grow with the root of the users, so that the evidence for each item grows with the shop.
        items = max(120, round(1000 * math.sqrt(size / DEFAULT_SIZE)))
        goods = make_goods(items, start=start, end=end, rng=goods_rng)
        people = make_people(size, goods=goods, start=start, end=end, rng=people_rng)
        hour_bias = 0.5 * people_rng.standard_normal((4, len(DEPARTMENTS)))
        if behaviours:
            conducts = plant(people, end=end, rng=conduct_rng)
            starts = planted_starts(people, conducts, start=start, end=end, rng=conduct_rng)
        else:
            conducts = conduct_alike(people)
            starts = session_starts(people, start=start, end=end, rng=visits_rng)
        truth = Truth(
            people=people, conducts=conducts, goods=goods, start=start, end=end, hour_bias=hour_bias
        )
        visits = simulate_visits(truth, starts, rng=visits_rng)
        return cls(size=size, seed=seed, end=end, truth=truth, visits=visits, behaviours=behaviours)

    @classmethod
    def open(cls, folder: Path) -> "Shop":
        """Make again the shop that :meth:`write` wrote into ``folder``."""
        path = folder / "shop.json"
        try:
            dial = json.loads(path.read_text(encoding="utf-8"))
            return cls.make(
                int(dial["size"]),
                int(dial["seed"]),
                end=float(dial["end"]),
                behaviours=bool(dial.get("behaviours", False)),
            )
        except (OSError, KeyError, ValueError) as error:
            raise TailorbirdError(
                f"no shop in {folder}: {error}", remedy="run: tailorbird simulate --out FOLDER"
            ) from error

    @property
    def catalog(self) -> Catalog:
        """The items."""
        return self.truth.goods.catalog

    @property
    def users(self) -> Users:
        """The users."""
        return self.truth.people.users

    @cached_property
    def user_rows(self) -> dict[str, int]:
        """A user's row by id."""
        return {user_id: row for row, user_id in enumerate(self.users.users["user_id"])}

    def preferences(self, user_ids: Sequence[str], now: float | np.ndarray) -> np.ndarray:
        """What users truly want: the oracle. Click probabilities follow the softmax of a row.

        Args:
            user_ids: (b,) users; the same user may come several times. An unknown user wants what the average user does.
            now: When, epoch seconds; one instant, or (b,) instants. What a user is after in the session that runs then,
                the device, and what was met strictly before are part of the truth.

        Returns:
            (b, n_items) float32 in the catalogue's order; -inf for what is not on sale.
        """
        return self._of_known(user_ids, now, self._wants)

    def tastes(self, user_ids: Sequence[str], now: float | np.ndarray) -> np.ndarray:
        """What users want by their taste alone, whatever they are after just now; shapes as in ``preferences``."""
        return self._of_known(
            user_ids,
            now,
            lambda rows, instants: self.truth.wants(rows, instants, mobile=np.full(len(rows), 0.5)),
        )

    @property
    def behaviour_names(self) -> tuple[str, ...]:
        """The planted behaviours by number; empty where none are."""
        return NAMES if self.behaviours else ()

    def behaviour_at(self, user_ids: Sequence[str], now: float | np.ndarray) -> np.ndarray:
        """(b,) numbers of the behaviours that users have at ``now``, one instant or (b,); -1 of an unknown user.

        Raises UsageError where none are planted.
        """
        if not self.behaviours:
            raise UsageError(
                "this shop has no planted behaviours",
                remedy="make it with them: tailorbird simulate --behaviours",
            )
        rows = np.array([self.user_rows.get(user_id, -1) for user_id in user_ids], dtype=np.int64)
        instants = np.broadcast_to(np.asarray(now, np.float64), rows.shape)
        return np.where(rows >= 0, self.truth.conducts.behaviour_at(rows, instants), -1)

    def react(
        self,
        user_id: str,
        item_ids: Sequence[str],
        now: float,
        rng: np.random.Generator,
        *,
        recommendation_id: str | None = None,
        session_id: str | None = None,
    ) -> list[Event]:
        """Show a slate to a user: clicks by taste and position, and what follows them, as events after ``now``."""
        return react(
            self.preferences([user_id], now)[0],
            self.catalog.rows(item_ids),
            item_ids=item_ids,
            user_id=user_id,
            now=now,
            rng=rng,
            recommendation_id=recommendation_id,
            session_id=session_id,
        )

    def events(self) -> pd.DataFrame:
        """Everything that happened, sorted by time, with the columns of the event log's SCHEMA."""
        visits = self.visits
        order = np.argsort(visits.at, kind="stable")
        item = visits.item[order]
        found = item >= 0
        price = np.append(self.catalog.items["price"].to_numpy(), np.nan)
        action = visits.action[order]
        lag = np.random.default_rng([self.seed, 1]).lognormal(-1.5, 1.0, len(order))
        lag[np.random.default_rng([self.seed, 2]).random(len(order)) < 0.005] *= (
            3000.0  # phones that were offline
        )
        at = visits.at[order]
        name = self.digest
        contexts = contexts_as_json()
        return pd.DataFrame(
            {
                "message_id": [f"{name}-{number:08d}" for number in range(len(order))],
                "type": ACTION_TYPES[action],
                "user_id": self.users.users["user_id"].to_numpy(dtype=object)[visits.user[order]],
                "anonymous_id": None,
                "session_id": np.array(
                    [f"{name}-s{number:06d}" for number in visits.session[order]], dtype=object
                ),
                "item_id": np.where(
                    found, np.array([*self.catalog.item_ids, None], dtype=object)[item], None
                ),
                "recommendation_id": None,
                "position": np.nan,
                "value": np.where(action > LOOK + 1, price[item], np.nan),
                "event_time": _instants(at),
                "received_time": _instants(at + (lag * 1e6).astype(np.int64)),
                "context": contexts[visits.mobile[order], visits.referrer[order]],
                "properties": np.where(action == SEARCH, queries_as_json()[visits.shelf[order]], None),
            }
        )

    def write(self, folder: Path) -> None:
        """Write ``events.parquet``, ``items.parquet``, ``users.parquet`` and, last, ``shop.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.events().to_parquet(folder / "events.parquet", index=False)
        self.catalog.write(folder)
        self.users.write(folder)
        staged = folder / "shop.json.tmp"
        staged.write_text(json.dumps(self.dial), encoding="utf-8")
        staged.replace(folder / "shop.json")

    @property
    def dial(self) -> dict[str, float]:
        """What makes this shop: size, seed, end and, only where they are planted, behaviours."""
        dial = {"size": self.size, "seed": self.seed, "end": self.end}
        return {**dial, "behaviours": True} if self.behaviours else dial

    @property
    def digest(self) -> str:
        """A short name of this shop; it begins its message ids, so that two shops never share one."""
        return hashlib.sha256(json.dumps(self.dial).encode()).hexdigest()[:10]

    def _of_known(
        self,
        user_ids: Sequence[str],
        now: float | np.ndarray,
        wanted: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        rows = np.array([self.user_rows.get(user_id, -1) for user_id in user_ids], dtype=np.int64)
        instants = np.broadcast_to(np.asarray(now, np.float64), rows.shape)
        known = rows >= 0
        wants = np.empty((len(rows), len(self.catalog)), np.float32)
        if not known.all():
            wants[~known] = self.truth.goods.appeal_at(instants[~known])
        if known.any():
            wants[known] = wanted(rows[known], instants[known])
        return wants

    def _wants(self, rows: np.ndarray, instants: np.ndarray) -> np.ndarray:
        visits, micro = self.visits, np.round(instants * 1e6).astype(np.int64)
        # The first step of the user that ends at `now` or later: if it has begun, it is what the user is after.
        place = _search(visits.step_user, visits.step_until, rows, micro, side="left")
        within = np.minimum(place, max(len(visits.step_user) - 1, 0))
        running = np.zeros(len(rows), bool)
        if len(visits.step_user):
            running = (place < len(visits.step_user)) & (visits.step_user[within] == rows)
            running &= visits.step_from[within] <= micro
        shelf = np.where(running, visits.step_shelf[within] if len(visits.step_user) else -1, -1)
        mobile = np.where(running, visits.step_mobile[within] if len(visits.step_user) else 0, 0.5)
        wants = self.truth.wants(rows, instants, mobile=mobile) + self.truth.intent(shelf)
        first = np.searchsorted(visits.user, rows, side="left")
        last = _search(visits.user, visits.at, rows, micro, side="left")
        tired_of = self.truth.tired_of(rows, instants)
        for query, (low, high) in enumerate(zip(first, last, strict=True)):
            met = np.unique(visits.item[low:high])
            wants[query, met[met >= 0]] -= tired_of[query]
        return wants


def _search(
    users: np.ndarray, times: np.ndarray, rows: np.ndarray, instants: np.ndarray, *, side: str
) -> np.ndarray:
    """Where (row, instant) stands among (user, time) pairs that are sorted so."""
    places = [
        low + np.searchsorted(times[low:high], instant, side=side)  # type: ignore[call-overload]
        for low, high, instant in zip(
            np.searchsorted(users, rows, side="left"),
            np.searchsorted(users, rows, side="right"),
            instants,
            strict=True,
        )
    ]
    return np.array(places, dtype=np.int64)


def _instants(micro: np.ndarray) -> pd.Series:
    return pd.Series(micro.astype("datetime64[us]")).dt.tz_localize("UTC")
