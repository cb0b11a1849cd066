"""Everybody who reads events or exposures, and the purpose that they serve by it: a test finds readers that are not listed.

Who serves a purpose reads through ``scan_for`` and ``exposures_for`` (features.purposes), or folds profiles, which take in
only what may serve personalization (features.state, features.replay). ``besides`` says why a module looks at a stream
itself as well, or only so: it keeps, counts or gives back what is there, and uses it for nobody.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tailorbird.features.consent.consents import ANALYTICS, PERSONALIZATION


class Reading(NamedTuple):
    """What a module reads streams for."""

    purpose: str | None = None
    besides: str = ""


READERS: Mapping[str, Reading] = {
    "feature_repo.command": Reading(PERSONALIZATION, "hands the stream to the updater of profiles"),
    "feature_repo.updater.fill": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "feature_repo.offline.rows": Reading(PERSONALIZATION, "whose rows later events and words concern"),
    "feature_repo.portraits": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "feature_repo.updater.repair": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "feature_repo.updater.updater": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "serving.admin.state": Reading(besides="how far the streams go"),
    "serving.collect.replica": Reading(PERSONALIZATION, "stores events, and folds profiles of them"),
    "serving.privacy.consents": Reading(besides="the words themselves"),
    "serving.privacy.erasures": Reading(besides="what is to be erased"),
    "serving.privacy.exports": Reading(besides="which keys are one person's"),
    "serving.privacy.places": Reading(besides="what is the person's own: to be given back, or erased"),
    "serving.recommend.replica": Reading(
        PERSONALIZATION,
        "stores exposures, and explains one by the profile of then, which took in what may serve",
    ),
    "serving.triggers.deliverer": Reading(
        PERSONALIZATION,
        "moves, each of which rests on an event that may serve; who refuses is told of to nobody",
    ),
    "tailorbird.demo.command": Reading(besides="the id of somebody for its lines"),
    "serving.segments.owners": Reading(besides="who is linked to whom"),
    "tailorbird.exposures.past": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "tailorbird.privacy.people.person": Reading(besides="which keys are one person's"),
    "tailorbird.privacy.erasure.places": Reading(
        besides="what is the person's own: to be given back, or erased"
    ),
    "tailorbird.experiments.measuring.streams": Reading(
        ANALYTICS, "slates, to count those that may not serve; and who is linked to whom"
    ),
    "tailorbird.experiments.canary.guard": Reading(ANALYTICS, "how far the streams go"),
    "serving.privacy.retention": Reading(besides="deletes what is older than it may become"),
    "tailorbird.exposures.command": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "tailorbird.exposures.learned": Reading(PERSONALIZATION),
    "tailorbird.features.consent.purposes": Reading(besides="the door of readers itself"),
    "tailorbird.ingest.workspace": Reading(besides="stores events"),
    "tailorbird.backup.streams": Reading(besides="what is there: to be kept, and given back"),
    "tailorbird.privacy.door.door": Reading(besides="whether there are events"),
    "training.data.dataset": Reading(PERSONALIZATION, "how far the events go"),
    "training.data.groups": Reading(PERSONALIZATION),
    "training.evaluation.replayed": Reading(PERSONALIZATION, "profiles, which take in what may serve"),
    "training.retrain.cause": Reading(PERSONALIZATION),
    "training.retrain.parent": Reading(PERSONALIZATION),
    "training.retrain.withdrawn": Reading(
        besides="what people allowed until they refused it: to count it alone"
    ),
    "training.segments.assign": Reading(PERSONALIZATION, "how far the events go"),
    "training.segments.people": Reading(
        PERSONALIZATION, "how far the events go, and whose profiles they concern"
    ),
}
