"""The hot routes of the recommend application, and the scopes that open them."""

from serving.http.access import FOR_ASSIGNMENTS, FOR_COLLECT, FOR_PRIVACY, FOR_RECOMMEND
from serving.http.front import Route
from serving.recommend.routes.assignments import AssignmentService
from serving.recommend.routes.consent import ConsentRoute
from serving.recommend.routes.merge import MergeRoutes
from serving.recommend.routes.trace import TraceService
from serving.recommend.slate.service import RecommendService


def recommend_routes(
    service: RecommendService,
    traces: TraceService,
    merge: MergeRoutes,
    assignments: AssignmentService,
    consent: ConsentRoute,
) -> list[Route]:
    """The routes; the first that fits a path answers it.

    A trace tells of a person what no page needs. Joining ids is an event, which pages tell, and so is a consent; variants are
    what pages show.
    """
    return [
        Route("recommend", "POST", "/v1/recommendations", service.recommend, needs=FOR_RECOMMEND),
        Route("trace", "GET", "/v1/recommendations/", traces.trace, suffix="/trace", needs=FOR_PRIVACY),
        Route(
            "recommend",
            "GET",
            "/v1/recommendations/",
            service.recommend_user,
            suffix="",
            needs=FOR_RECOMMEND,
        ),
        Route("assignments", "POST", "/v1/assignments", assignments.assignments, needs=FOR_ASSIGNMENTS),
        Route("rank", "POST", "/v1/rank", service.rank, needs=FOR_RECOMMEND),
        Route("similar", "GET", "/v1/items/", service.similar, suffix="/similar", needs=FOR_RECOMMEND),
        Route("merge", "POST", "/v1/users/", merge.merge, suffix="/merge", needs=FOR_COLLECT),
        Route("merge", "DELETE", "/v1/users/", merge.part, suffix="/merge", needs=FOR_COLLECT),
        Route("consent", "PUT", "/v1/users/", consent.put, suffix="/consent", needs=FOR_COLLECT),
    ]
