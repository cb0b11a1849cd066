"""The result cache: equal requests of an unchanged person get their ranking again, for as long as no window moves.

A ranking is reused within the model's version, the settings that rankings are made by, the bucket of the context and everything
else in the request: arms that only select otherwise share it. What may be shown is looked up after that, on every hit, and so
must be whatever is drawn by chance.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import orjson

from serving import metrics
from serving.recommend.cache.memory import Found, Kept, Key, Rankings
from tailorbird.features.history.context import context_bucket
from tailorbird.features.vectors.cacheable import cacheable_seconds
from tailorbird.slate.query import Query, Ranking, Slate
from tailorbird.slate.recommender import Recommender, recommend_together

WHO = ("userId", "anonymousId", "sessionId", "context")
"""Parts of a request's body that are no part of what is asked: the key has the person, and what is read of the context."""


def request_digest(raw: bytes, defaults: bytes) -> bytes:
    """(16,) names what is asked, whoever asks and however the JSON is written; ``defaults`` fill what it leaves out."""
    body = orjson.loads(raw)
    for name in WHO:
        body.pop(name, None)
    return blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS) + defaults, digest_size=16).digest()


class Looked(NamedTuple):
    """A query to look up: which arm answers, by what, and the request's digest, empty where nothing is to be kept."""

    arm: str
    recommender: Recommender
    query: Query
    request: bytes


class ResultCache:
    """Answers from kept rankings where it can, and keeps the others for at most ``seconds``."""

    def __init__(self, rankings: Rankings, *, seconds: float) -> None:
        self._rankings, self._seconds = rankings, seconds

    def recommend_together(self, asked: Sequence[Looked]) -> list[tuple[Slate, Ranking | None]]:
        """The slates of queries of one instant to recommenders of one model, with their rankings."""
        now, catalog = asked[0].query.now, asked[0].recommender.catalog
        keys = {place: _key(each) for place, each in enumerate(asked) if each.request}
        looked = [(key, _person(asked[place].query)) for place, key in keys.items()]
        found = dict(zip(keys, self._rankings.get_many(looked, now=now, catalog=catalog), strict=True))
        _count({place: asked[place].arm for place in keys}, found, now=now)
        known = [found[place].ranking if place in found else None for place in range(len(asked))]
        answered = recommend_together([(each.recommender, each.query) for each in asked], known=known)
        made = []
        for place, key in keys.items():
            query, ranking = asked[place].query, answered[place][1]
            if known[place] is None and ranking is not None:
                seconds = cacheable_seconds(query.state, now=now, at_most=self._seconds)
                made += [(key, Kept(_person(query), ranking, now, now + seconds))] * (seconds > 0)
        self._rankings.put_many(made, now=now, catalog=catalog)
        return answered


def _key(asked: Looked) -> Key:
    query, request = asked.query, asked.request
    context = context_bucket(query.context, now=query.now)
    if query.wishes.weights:  # of a scenario, which may have had others when it was kept
        request += repr(query.wishes.weights).encode()
    model = asked.recommender
    return Key(model.ranks_by, query.state.user_key, model.version, context, request)


def _person(query: Query) -> str:
    """The version of all that is known of the person: an event makes another, and so does a word on them."""
    told = query.demographics
    return f"{query.state.version}/{told.age}/{told.gender}/{told.country}/{query.segment}"


def _count(arms: Mapping[int, str], found: Mapping[int, Found], *, now: float) -> None:
    """Count what was looked up for each arm."""
    by_arm: dict[str, list[Found]] = {}
    for place, arm in arms.items():
        by_arm.setdefault(arm, []).append(found[place])
    for arm, own in by_arm.items():
        ages = [now - each.ranking.scored_at for each in own if each.ranking is not None]
        metrics.cache_hits.labels(arm).inc(len(ages))
        metrics.cache_misses.labels(arm).inc(len(own) - len(ages))
        metrics.cache_invalidations.labels(arm).inc(sum(each.moved for each in own))
        for age in ages:
            metrics.cache_age_seconds.labels(arm).observe(age)
