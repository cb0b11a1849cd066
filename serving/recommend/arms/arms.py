"""The arms of one replica: each follows its alias and is swapped by itself, the champion first, within a memory budget."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from registry.following.follower import Follower, Release
from registry.following.pointers import RegistryAwayError
from serving.lasting import LastingThread
from serving.recommend.arms.arrivals import trouble_of
from serving.recommend.arms.builder import RecommenderBuilder
from serving.recommend.arms.served import Served, Standing, misfits, summary
from serving.recommend.arms.versions import LoadedVersions
from tailorbird.catalog.log.delta import CatalogFollower
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.arm import CHAMPION, CHAMPION_ARM, Arm
from tailorbird.experiments.design.experiment import JOINED
from tailorbird.experiments.running.assigning import NOTHING_RUNS, Assignment, composed
from tailorbird.slate.query import Query
from tailorbird.slate.recommender import Recommender

log = logging.getLogger("ray.serve.tailorbird")
NOTICE_SECONDS = 0.1
"""How often a replica looks for a notice that an alias moved; without one it looks at the registry itself, less often."""

HEAR_SECONDS = 0.5
"""How often a replica looks what was told of the catalogue."""


class ServedArms:
    """One replica's arms. The table of them is replaced as a whole, so a batch sees one state from start to end."""

    def __init__(
        self,
        follower: Follower,
        builder: RecommenderBuilder,
        *,
        declared: Callable[[], Sequence[Arm]] = lambda: (CHAMPION_ARM,),
        running: Callable[[], Assignment] = lambda: NOTHING_RUNS,
        budget_bytes: int,
        poll_seconds: float,
        refresh_seconds: float,
        catalogue: CatalogFollower | None = None,
        noticed: Callable[[], object] = lambda: None,
        on_swap: Callable[[str, Standing], object] = lambda outcome, standing: None,
        on_change: Callable[[Sequence[Standing]], object] = lambda standings: None,
    ) -> None:
        self._follower, self._builder = follower, builder
        self._declared, self._running = declared, running
        self._budget = budget_bytes
        self._poll_seconds, self._refresh_seconds = poll_seconds, refresh_seconds
        self._catalogue = catalogue
        self._noticed, self._on_swap, self._on_change = noticed, on_swap, on_change
        self._versions = LoadedVersions(builder)
        self._arms: Sequence[Arm] = (CHAMPION_ARM,)
        self._assignment = NOTHING_RUNS
        self._joined: tuple[object, dict[str, Recommender | None]] = (None, {})
        self._stop = threading.Event()
        self._trouble, self._seen = "", object()
        # Lists in the champion's place are made where no model can be opened: they need the whole catalogue.
        self._table: Mapping[str, Standing] = {CHAMPION: Standing(CHAMPION_ARM)}
        self._refreshed = time.monotonic()
        self.thread: LastingThread | None = None

    def start(self) -> None:
        """Load what the aliases point at now, then keep watching them."""
        self._seen = self._noticed()  # before the first look: a move in between is looked at again
        self.check()
        self.thread = LastingThread(self._watch, name="alias-watcher")

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self.thread is not None:
            self.thread.join(timeout=5)
        if self._catalogue is not None:
            self._catalogue.close()

    @property
    def assignment(self) -> Assignment:
        """Who gets which variant; every arm of it has been followed."""
        return self._assignment

    @property
    def champion(self) -> Recommender:
        """What answers whoever is in no experiment."""
        return self.current(CHAMPION).recommender

    def current(self, arm: str) -> Served:
        """What answers a request of ``arm`` now: its own version, or the champion in its place."""
        table = self._table
        mine = table.get(arm)
        own = mine.recommender if mine is not None else self._joined_of(arm, table)
        if own is not None:
            return Served(arm, own)
        champion = table[CHAMPION].recommender
        assert champion is not None
        return Served(arm, champion, stands_in=True)

    def standings(self) -> list[Standing]:
        """Every arm, the champion first."""
        return list(self._table.values())

    def troubles(self) -> list[str]:
        """What an operator should know, one line each."""
        lines = [self._trouble] if self._trouble else []
        for each in self.standings():
            if each.trouble:
                lines.append(
                    each.trouble if each.arm.name == CHAMPION else f"arm {each.arm.name}: {each.trouble}"
                )
            lacking = "" if each.recommender is None else trouble_of(each.recommender)
            if lacking:
                lines.append(f"arm {each.arm.name}: {lacking}")
        return lines

    def remember(self, query: Query) -> None:
        """Keep a real request to warm the next version with."""
        self._versions.remember(query)

    def check(self) -> None:
        """Look at every alias once and swap where one points somewhere new; what serves keeps serving in trouble."""
        trouble, running = "", self._assignment
        try:
            running = self._running()
        except TailorbirdError as error:
            trouble = str(error)
        try:
            self._arms = _with_variants(tuple(self._declared()), running)
        except TailorbirdError as error:
            trouble = str(error)
        before, after = self._table, self._followed()
        self._assignment = running  # once its arms are there
        if trouble != self._trouble or summary(before) != summary(after):
            self._trouble = trouble
            self._on_change(self.standings())

    def refresh(self) -> None:
        """Bring stock and item features up to date, in copies that take the old ones' place."""
        self._versions.refresh()
        self._renew()

    def _renew(self) -> None:
        """Put what the versions are now in the arms' places."""
        table = dict(self._table)
        for name, standing in table.items():
            loaded = self._versions.get(standing.version) if standing.version else None
            if loaded is not None:
                table[name] = Standing(
                    standing.arm, standing.arm.slate.applied_to(loaded.recommender), standing.trouble
                )
        if not table[CHAMPION].version:
            table[CHAMPION] = self._listed(table[CHAMPION].arm, table[CHAMPION].trouble)
        self._table = table

    def hear(self) -> None:
        """Take over what was told of items and users since the last time; nothing of it is as long as the catalogue."""
        delta = self._catalogue.changes() if self._catalogue is not None else None
        if delta is None:
            return
        if delta.replaced:
            self._builder.read_again()  # also where this replica was too far behind what is told
            self.refresh()
        if self._versions.tell(delta.items):
            self._renew()
        champion = self._table[CHAMPION]
        if champion.recommender is not None and not champion.version:
            grown = self._builder.tell_items(champion.recommender, delta.items)
            self._table = {**self._table, CHAMPION: replace(champion, recommender=grown)}
        if delta.replaced:
            self._builder.read_users()
        self._builder.tell_users(delta.users)

    def _joined_of(self, arm: str, table: Mapping[str, Standing]) -> Recommender | None:
        """What the arms of several variants make together, made once for a table; None where one of them cannot answer."""
        joined = self._joined
        if joined[0] is not table:
            joined = self._joined = (table, {})
        made = joined[1]  # another thread may be at another table
        if arm not in made:
            made[arm] = self._join(arm, table)
        return made[arm]

    def _join(self, arm: str, table: Mapping[str, Standing]) -> Recommender | None:
        raw = {each.name: each for each in self._assignment.arms}
        names = arm.split(JOINED)
        standings = [table[name] for name in names if name in table and name in raw]
        if len(standings) < len(names) or any(each.recommender is None for each in standings):
            return None
        whole = composed(arm, [raw[name] for name in names])
        of_model = [each for each in standings if each.arm.points_at == whole.points_at] or [table[CHAMPION]]
        loaded = self._versions.get(of_model[0].version)
        slate = whole.slate.over(table[CHAMPION].arm.slate)
        return slate.applied_to(loaded.recommender) if loaded is not None else None

    def _followed(self) -> Mapping[str, Standing]:
        """Bring every arm to where its alias points, one after the other; the table afterwards."""
        wanted = self._wanted()
        too_large = misfits(
            self._arms, wanted, held=self._held, size=self._versions.size, budget_bytes=self._budget
        )
        before = self._table
        # What must go, goes first: the memory is for what comes.
        self._table = {
            name: Standing(standing.arm, None, too_large[name]) if name in too_large else standing
            for name, standing in before.items()
        }
        for arm in self._arms:
            fits = arm.name not in too_large
            now = (
                self._settled(arm, wanted[arm.points_at])
                if fits
                else Standing(arm, None, too_large[arm.name])
            )
            self._table = {**self._table, arm.name: now}
            self._count(before.get(arm.name), now)
        self._table = {arm.name: self._table[arm.name] for arm in self._arms}
        self._versions.keep({standing.version for standing in self.standings()})
        return self._table

    def _held(self, arm: str) -> Release | None:
        """What serves for an arm now."""
        loaded = self._versions.get(self._table[arm].version) if arm in self._table else None
        return loaded.release if loaded is not None else None

    def _wanted(self) -> dict[str, Release | str]:
        """For each alias or version what it is, or why that cannot serve."""
        versions = {arm.points_at: arm.version for arm in self._arms if arm.version}
        aliases = list(dict.fromkeys(arm.alias for arm in self._arms if not arm.version))
        try:
            found = self._follower.look(aliases)
        except Exception as error:
            return dict.fromkeys([*aliases, *versions], f"the registry is away: {error}")
        by_alias = {alias: self._fetched(alias, found[alias]) for alias in aliases}
        return by_alias | {name: self._fetched("", version) for name, version in versions.items()}

    def _fetched(self, alias: str, version: str | None) -> Release | str:
        if version is None:
            return f"no version has the alias {alias} yet"
        loaded = self._versions.get(version)
        if loaded is not None:
            return loaded.release
        try:
            return self._versions.refusal(version) or self._follower.fetch(alias, version)
        except RegistryAwayError as error:
            return f"the registry is away: {error}"
        except Exception as error:
            return self._versions.refuse(version, error)

    def _settled(self, arm: Arm, release: Release | str) -> Standing:
        """The arm on its newest version, or on what it has, with the reason."""
        before = self._table.get(arm.name, Standing(arm))
        if isinstance(release, str):
            trouble = release
        elif before.version == release.version and before.arm == arm:
            return Standing(arm, before.recommender)
        else:
            loaded, trouble = self._versions.open(release)
            if loaded is not None:
                return Standing(arm, arm.slate.applied_to(loaded.recommender))
        kept = self._versions.get(before.version) if before.version else None
        if kept is not None:
            return Standing(arm, arm.slate.applied_to(kept.recommender), trouble)
        if arm.name != CHAMPION:
            return Standing(arm, None, trouble)
        if before.arm == arm and before.recommender is not None and before.recommender.trouble == trouble:
            return Standing(arm, before.recommender, trouble)
        return self._listed(arm, trouble)

    def _listed(self, arm: Arm, trouble: str) -> Standing:
        return Standing(arm, arm.slate.applied_to(self._builder.without_model(trouble)), trouble)

    def _count(self, before: Standing | None, now: Standing) -> None:
        if now.version and (before is None or before.version != now.version):
            log.info("arm %s: version %r serves", now.arm.name, now.version)
            self._on_swap("swapped", now)
        if now.trouble and (before is None or before.trouble != now.trouble):
            log.warning("arm %s: %s", now.arm.name, now.trouble)
            self._on_swap("refused", now)

    def _watch(self) -> None:
        looked = heard = time.monotonic()
        while not self._stop.wait(min(NOTICE_SECONDS, self._poll_seconds)):
            if time.monotonic() - heard >= HEAR_SECONDS:
                self.hear()
                heard = time.monotonic()
            notice = self._noticed()
            if notice != self._seen or time.monotonic() - looked >= self._poll_seconds:
                looked, self._seen = time.monotonic(), notice
                self.check()
            if time.monotonic() - self._refreshed >= self._refresh_seconds:
                self.refresh()
                self._refreshed = time.monotonic()


def _with_variants(declared: Sequence[Arm], running: Assignment) -> tuple[Arm, ...]:
    """The declared arms and those of variants, which leave to the champion's what they do not choose."""
    champion = declared[0].slate
    return (*declared, *(replace(arm, slate=arm.slate.over(champion)) for arm in running.arms))
