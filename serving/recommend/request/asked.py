"""What a request wishes, put together with its scenario: the query's part that says nothing of who asks."""

from http import HTTPStatus
from typing import Any

from serving.http.cursor import read_cursor
from serving.http.problems import ProblemError
from serving.http.schemas import ItemFilter, RecommendationRequest
from tailorbird.experiments.scenario import BoostSaid, Scenario, SegmentFilter
from tailorbird.slate.filtering.terms import FilterError
from tailorbird.slate.query import NO_RULES, NO_WISHES, Rules, Wishes
from tailorbird.slate.recommender import Recommender

_NO_FILTER = ItemFilter()


def asked_for(body: RecommendationRequest, scenario: Scenario) -> dict[str, Any]:
    """The arguments of the query: what the request says holds, what it leaves out is the scenario's. Raises ProblemError."""
    rules, keep_seen, own = NO_RULES, scenario.keep_seen, body.filter
    if isinstance(own, ItemFilter) and own != _NO_FILTER:
        rules = Rules(tuple(own.categories), tuple(own.brands), own.min_price, own.max_price)
        keep_seen = keep_seen if own.seen == "default" else own.seen == "keep"
    chosen = _said(body).over(scenario)
    return {
        "k": chosen.num_results or body.num_results,
        "rules": rules,
        "wishes": _wishes(chosen),
        "exclude": frozenset(chosen.exclude or ()),
        "shown": read_cursor(body.cursor),
        "item_id": body.item_id,
        "keep_seen": keep_seen,
        "explain": body.explain,
    }


def require_known(body: RecommendationRequest, recommender: Recommender) -> None:
    """See that the request's own expressions name what items have; a scenario's may be ahead of them. Raises ProblemError."""
    texts = [each.filter for each in body.boost] + [each.filter for each in body.segment_filter]
    if isinstance(body.filter, str):
        texts.append(body.filter)
    try:
        for text in texts:
            recommender.shelf.selections.of(text).require_sound()
    except FilterError as error:
        raise _refused(error) from error


def _said(body: RecommendationRequest) -> Scenario:
    """The request's own wishes; None where it is silent."""
    said = body.model_fields_set
    return Scenario(
        num_results=body.num_results if "num_results" in said else None,
        filter=body.filter if isinstance(body.filter, str) else "" if body.filter is not None else None,
        include=None if body.include_item_ids is None else tuple(body.include_item_ids),
        exclude=tuple(body.exclude_item_ids) if "exclude_item_ids" in said else None,
        segment_filter=tuple(SegmentFilter(each.filter, tuple(each.segments)) for each in body.segment_filter)
        if "segment_filter" in said
        else None,
        boost=tuple(BoostSaid(each.filter, each.by, tuple(each.segments or ())) for each in body.boost)
        if "boost" in said
        else None,
        pin=tuple((each.item_id, each.place) for each in body.pin) if "pin" in said else None,
        max_per_category=body.max_per_category,
        max_per_brand=body.max_per_brand,
    )


def _wishes(chosen: Scenario) -> Wishes:
    try:
        wishes = chosen.wishes
    except FilterError as error:
        raise _refused(error) from error
    return NO_WISHES if wishes == NO_WISHES else wishes


def _refused(error: FilterError) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-filter",
        error.what,
        remedy=error.remedy or "see docs/catalog.md",
    )
