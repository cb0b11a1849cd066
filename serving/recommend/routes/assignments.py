"""POST /v1/assignments: which variants somebody gets, for callers who need no items; what is told is recorded as it was shown."""

import time
from collections.abc import Callable, Collection

import numpy as np
import orjson

from serving import metrics
from serving.http.bodies import parse_body
from serving.http.front import Answer, Request
from serving.http.schemas import AssignmentRequest, Visitor
from serving.recommend.arms.arms import ServedArms
from serving.recommend.request.visit import Visit
from serving.recommend.slate.draw import SlateDrawer
from serving.recommend.slate.exposures import ExposureWriter
from tailorbird.experiments.running.assigning import Assignment
from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.record import with_draws
from tailorbird.features.consent.standing import USUAL_BASIS, with_basis
from tailorbird.slate.query import Query

_NOTHING = np.zeros(0, np.float32)


class AssignmentService:
    """Tells variants with their payloads; ``visit`` makes a visit of a request, under the names behind the door."""

    def __init__(
        self,
        arms: ServedArms,
        drawer: SlateDrawer,
        exposures: ExposureWriter,
        *,
        visit: Callable[[Request, Visitor, str], Visit],
    ) -> None:
        self._arms, self._drawer, self._exposures, self._visit = arms, drawer, exposures, visit

    async def assignments(self, request: Request) -> Answer:
        """The variants of the asked experiments (of all, without a word on them); none of somebody who may not be measured."""
        body = parse_body(AssignmentRequest, request.body)
        running = self._arms.assignment
        visit, query = self._drawer.taking_part(self._visit(request, body, body.scenario))
        wanted = None if body.experiments is None else set(body.experiments)
        told = {key: name for key, name in visit.experiments.items() if wanted is None or key in wanted}
        answer = Answer(
            orjson.dumps(
                {
                    "assignmentId": visit.recommendation_id,
                    "assignments": [
                        {"key": key, "variant": name, "payload": payload_of(running, key, name)}
                        for key, name in told.items()
                    ],
                    "tookMs": round((time.perf_counter() - visit.started) * 1000, 3),
                }
            )
        )
        if told:
            took_ms = round((time.perf_counter() - visit.started) * 1000, 3)
            self._exposures.put(
                lambda: told_exposure(
                    visit, query, told, took_ms=took_ms, basis=self._drawer.basis_of(query)
                ),
                size=len(request.body) + len(answer.body),
            )
        metrics.assignments.labels("told" if told else "none").inc()
        return answer


def payload_of(running: Assignment, key: str, variant: str) -> object:
    """What the variant tells the page; null where it tells nothing."""
    for entry in running.entries:
        if entry.key == key:
            return dict(entry.experiment.variant(variant).payload) or None
    return None


def told_exposure(
    visit: Visit, query: Query, told: dict[str, str], *, took_ms: float, basis: Collection[str] = USUAL_BASIS
) -> Exposure:
    """What was told, as an exposure without items."""
    draws = {key: draw for key, draw in visit.draws.items() if key in told}
    return Exposure(
        recommendation_id=visit.recommendation_id,
        instant=round(query.now, 6),
        scored_at=round(query.now, 6),
        user_id=visit.visitor.user_id,
        anonymous_id=visit.visitor.anonymous_id,
        session_id=visit.visitor.session_id,
        scenario=visit.scenario,
        arm=visit.arm,
        model_name="",
        model_version="",
        items=(),
        first_position=0,
        scores=_NOTHING,
        propensities=_NOTHING,
        source_names=(),
        ranks=np.zeros((0, 0), np.int16),
        z_scores=np.zeros((0, 0), np.float16),
        user_vector=_NOTHING,
        profile_version=query.state.version,
        fallback="",
        partial=False,
        removed={},
        request=with_draws({"assignments": sorted(told)}, draws),
        context=with_basis(query.context, basis),
        experiments=told,
        took_ms=took_ms,
    )
