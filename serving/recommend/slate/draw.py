"""Draws slates for visits: one read of the profiles, then model by model; the champion, then its lists, stand in for what fails."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from serving import metrics
from serving.recommend.arms.arms import ServedArms
from serving.recommend.arms.served import Served
from serving.recommend.cache.results import Looked, ResultCache
from serving.recommend.request.hydrate import Hydrator
from serving.recommend.request.visit import Drawn, Visit
from serving.recommend.slate.interleave import drafted
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.running.assigning import NOT_ASSIGNED, Asker, Assigned, Assignment
from tailorbird.experiments.running.units import may_be_unit, person_unit
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.standing import COVERED, NEVER, USUAL_BASIS, standing_of
from tailorbird.features.demographics import NOBODY, Demographics, segment_of
from tailorbird.features.profile.state import UserState
from tailorbird.privacy.policy.rules import Basis
from tailorbird.segments.belonging import PromotedSegments, Segments, no_segments
from tailorbird.segments.rules.rules import NO_SEGMENT_RULES, RulesNow, SegmentRules, no_segment_rules
from tailorbird.slate.query import Query, Ranking, Slate
from tailorbird.slate.recommender import Recommender, recommend_together

log = logging.getLogger("ray.serve.tailorbird")
Ask = Callable[[Recommender, Query], Slate]
Assign = Callable[[Assignment, Visit, UserState, Sequence[str], bool, float], Assigned]
"""What a visit takes part in: the assignment, the visit, the profile, segments and rules, whether the profile was read, the instant."""


def taken_part(
    assignment: Assignment, visit: Visit, state: UserState, segments: Sequence[str], known: bool, now: float
) -> Assigned:
    """What a visit takes part in at ``now``; ``known`` where the profile could be read, and lets the person be measured."""
    visitor = visit.visitor
    if not known or not assignment:
        return NOT_ASSIGNED
    named = visitor.user_id or visitor.anonymous_id
    return assignment.assign(
        Asker(
            person_unit(state) if named else "",
            visitor.anonymous_id or "",
            visitor.session_id or "",
            visit.scenario,
            visitor.context,
            segments,
            visit.recommendation_id,
            now,
        )
    )


USUAL = Basis(frozenset(USUAL_BASIS))


class SlateDrawer:
    """Turns visits into slates, each by the model of its arm.

    ``covers`` says which purposes need no word of a person; whoever may not be known is answered as everybody.
    """

    def __init__(
        self,
        arms: ServedArms,
        hydrator: Hydrator,
        *,
        demographics: Callable[[str], Demographics] = lambda user: NOBODY,
        segments: Segments = no_segments,
        segment_rules: RulesNow = no_segment_rules,
        cache: ResultCache | None = None,
        assign: Assign = taken_part,
        covers: Callable[[], Basis] = lambda: USUAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._assign = assign
        self._arms, self._hydrator = arms, hydrator
        self._demographics, self._cache, self._clock = demographics, cache, clock
        self._segments, self._segment_rules = segments, segment_rules
        self._covers = covers

    @property
    def caches(self) -> bool:
        """Whether rankings are reused: only then a visit needs a key."""
        return self._cache is not None

    @property
    def profiles_away(self) -> str:
        """Why answers are made without profiles at the moment; empty where they are not."""
        return (self._hydrator.trouble or "it failed") if self._hydrator.away else ""

    def draw(self, visits: Sequence[Visit]) -> list[Drawn]:
        """The slates of requests that wait together, in their order; each arm's on one version of its model."""
        visits, queries, profile_read = self._queries(visits)
        drawn: dict[int, Drawn] = {}
        asked: list[tuple[Served, Visit, Query]] = []
        of: list[
            int
        ] = []  # the place among the visits of each that is asked; of an interleaving there are two
        arms: dict[str, Served] = {}
        for place, (visit, query) in enumerate(zip(visits, queries, strict=True)):
            if self._is_nobody(query):
                drawn[place] = self._for_nobody(visit, Recommender.recommend)
                continue
            names: Sequence[str] = (visit.arm,)
            if visit.pair is not None:
                # What either explores would be no pick of its ranking.
                names, visit, query = visit.pair.arms, visit.alone(), replace(query, draw_id="")
            for name in names:
                if name not in arms:
                    arms[name] = self._arms.current(name)
                asked.append((arms[name], visit, query))
                of.append(place)
        made: dict[int, list[tuple[Drawn, Ranking | None]]] = {}
        for place, found in zip(of, self._made(asked, profile_read), strict=True):
            made.setdefault(place, []).append(found)
        for place, parts in made.items():
            visit = visits[place]
            (ours, ranking), *theirs = parts
            drawn[place] = ours
            if visit.pair is not None:
                drawn[place] = drafted(visit.pair, visit, queries[place], ours, theirs[0][0], ranking=ranking)
        return [drawn[place] for place in range(len(visits))]

    def _made(
        self, asked: Sequence[tuple[Served, Visit, Query]], profile_read: bool
    ) -> list[tuple[Drawn, Ranking | None]]:
        """The slates, with the rankings that they were selected from; arms that share a model share its work."""
        models: dict[tuple[int, int], list[int]] = {}
        for place, (served, _, _) in enumerate(asked):
            recommender = served.recommender
            models.setdefault((id(recommender.stages), id(recommender.catalog)), []).append(place)
        made: dict[int, tuple[Drawn, Ranking | None]] = {}
        for places in models.values():
            own = [asked[place] for place in places]
            for place, (served, visit, query), (slate, ranking) in zip(
                places, own, self._ranked(own), strict=True
            ):
                made[place] = self._drawn(served, visit, query, slate, profile_read), ranking
        return [made[place] for place in range(len(asked))]

    def _ranked(self, asked: Sequence[tuple[Served, Visit, Query]]) -> list[tuple[Slate, Ranking | None]]:
        """What one model makes of queries, from kept rankings where it can."""
        if self._cache is None or asked[0][0].recommender.stages is None:
            return recommend_together([(served.recommender, query) for served, _, query in asked])
        return self._cache.recommend_together(
            [
                Looked(
                    CHAMPION if served.stands_in else served.arm,
                    served.recommender,
                    query,
                    _kept_as(visit, query),
                )
                for served, visit, query in asked
            ]
        )

    def draw_alone(self, visit: Visit, ask: Ask) -> Drawn:
        """The slate of a request that shares no work with others."""
        (visit,), (query,), profile_read = self._queries([visit])
        if self._is_nobody(query):
            return self._for_nobody(visit, ask)
        visit = visit.alone()
        served = self._arms.current(visit.arm)
        return self._drawn(served, visit, query, ask(served.recommender, query), profile_read, ask=ask)

    def taking_part(self, visit: Visit) -> tuple[Visit, Query]:
        """The visit with the variants that it gets, and what is known of who asks; nobody's where they refuse to be known."""
        (visit,), (query,), _ = self._queries([visit])
        return (visit.of_nobody() if self._is_nobody(query) else visit.alone()), query

    def draw_from_lists(self, visit: Visit, ask: Ask) -> Drawn:
        """A slate for a request that fails by itself: from the champion's lists, as for somebody unknown.

        The visit is nobody's: what the person refused may be what failed.
        """
        lists = replace(self._arms.champion, stages=None, trouble="the request failed")
        query = Query(UserState.empty(visit.user_key), self._clock(), **visit.wishes)
        slate, stands_in = ask(lists, query), visit.arm != CHAMPION
        return Drawn(visit.unnamed(), query, slate, lists, stands_in=stands_in, profile_read=False)

    def basis_of(self, query: Query) -> Collection[str]:
        """The purposes that a legal basis covers of who asks."""
        return self._covers().of(query.context, query.demographics)

    def _is_nobody(self, query: Query) -> bool:
        """Whether nothing lets this answer be a personal one: no word of the person, no basis, nothing of before that may serve."""
        standing = standing_of(query.context, PERSONALIZATION, basis=self.basis_of(query))
        covered = standing == COVERED or query.state.total > 0
        return standing == NEVER or not query.state.links.consents.serves(PERSONALIZATION, covered=covered)

    def _for_nobody(self, visit: Visit, ask: Ask) -> Drawn:
        """A slate for somebody who refuses personalization: from the champion's lists, and the visit is nobody's."""
        nobody = visit.of_nobody()
        lists = replace(self._arms.champion, stages=None)
        query = Query(UserState.empty(nobody.user_key), self._clock(), **nobody.wishes_in(()))
        return Drawn(nobody, query, ask(lists, query), lists, refused=True)

    def _drawn(
        self,
        served: Served,
        visit: Visit,
        query: Query,
        slate: Slate,
        profile_read: bool,
        *,
        ask: Ask = Recommender.recommend,
    ) -> Drawn:
        """The slate with what is to be said of it; where the model of an arm failed, the champion's instead.

        Where the profile could not be read nobody's word is known, and the visit is nobody's.
        """
        if not profile_read:
            visit = visit.unnamed()
        report_failure(slate, arm=CHAMPION if served.stands_in else served.arm)
        if served.stands_in:
            metrics.arm_fallbacks.labels(served.arm, "no_version").inc()
        elif slate.failure and served.arm != CHAMPION:
            metrics.arm_fallbacks.labels(served.arm, "failed").inc()
            champion = self._arms.champion
            slate = ask(champion, query)
            report_failure(slate, arm=CHAMPION)
            return Drawn(visit, query, slate, champion, stands_in=True, profile_read=profile_read)
        return Drawn(visit, query, slate, served.recommender, served.stands_in, profile_read)

    def _queries(self, visits: Sequence[Visit]) -> tuple[list[Visit], list[Query], bool]:
        """The visits with their variants and the queries they make, and whether profiles could be read."""
        states, profile_read = self._hydrator.fetch_profiles([visit.user_key for visit in visits])
        now, promoted, rules = self._clock(), self._segments(), self._segment_rules()
        assignment = self._arms.assignment
        asked = [
            self._query(visit, state, promoted, rules, assignment, known=profile_read, now=now)
            for visit, state in zip(visits, states, strict=True)
        ]
        return [visit for visit, _ in asked], [query for _, query in asked], profile_read

    def _query(
        self,
        visit: Visit,
        state: UserState,
        promoted: PromotedSegments | None,
        rules: SegmentRules,
        assignment: Assignment,
        *,
        known: bool,
        now: float,
    ) -> tuple[Visit, Query]:
        person = self._demographics(state.user_key)
        belonging = promoted.belonging(state, person) if promoted else None
        key = belonging.key if belonging else ""
        asked = rules if visit.tells_rules or assignment.asks_segments else NO_SEGMENT_RULES
        held = asked.holding(state, now=now, demographics=person, segment=key)
        keys = [key, *(rule.key for rule in held)]
        if assignment and known:
            basis = self._covers().of(visit.visitor.context, person)
            known = may_be_unit(state, visit.visitor.context, basis=basis)
        visit = visit.taking_part(self._assign(assignment, visit, state, keys, known, now))
        return visit, Query(
            state=state,
            now=now,
            context=visit.visitor.context,
            demographics=person,
            segment=segment_of(person),
            belonging=belonging,
            segment_rules=held,
            draw_id=visit.recommendation_id,
            **visit.wishes_in(keys),
        )


def _kept_as(visit: Visit, query: Query) -> bytes:
    """What names the request among kept rankings: where segments and rules decide about its wishes, those that do too."""
    if not visit.by_segment or not visit.key:
        return visit.key
    keys = [each.key for each in query.segment_rules] + ([query.belonging.key] if query.belonging else [])
    return visit.key + repr(sorted(visit.segments_asked(keys))).encode()


def report_failure(slate: Slate, *, arm: str) -> None:
    """Count and log that a model did not answer."""
    if slate.failure and slate.model_version:
        metrics.failures.labels("model").inc()
        log.error("arm %s: version %r failed, another answers: %s", arm, slate.model_version, slate.failure)
