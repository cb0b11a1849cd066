"""Which two arms make the slates of an interleaving, and by which coin they take turns."""

from collections.abc import Mapping
from typing import NamedTuple

from tailorbird.experiments.design.experiment import Experiment, Variant, arm_name
from tailorbird.experiments.interleaving.drafting import Coin, coin_of

INTERLEAVED = "interleaved"
"""What exposures and answers name as the variant of an interleaving: a unit sees both rankings."""


class Pair(NamedTuple):
    """Two arms whose rankings share a slate, control's first, each with the variant that it is."""

    key: str
    arms: tuple[str, str]
    teams: tuple[str, str]
    salt: str

    def coin(self, recommendation_id: str) -> Coin:
        """Who picks first, round by round, in one answer."""
        return coin_of(self.salt, recommendation_id)


def pair_of(experiment: Experiment, others: Mapping[str, str]) -> Pair:
    """The pair of an interleaving for a request of which ``others`` are the variants, by experiment, that change its answer, too."""
    control, treatment = experiment.variant(experiment.control), experiment.treatments[0]

    def arm(variant: Variant) -> str:
        return arm_name({**others, experiment.key: variant.name} if variant.changes_answers else others)

    return Pair(
        experiment.key, (arm(control), arm(treatment)), (control.name, treatment.name), experiment.salt
    )
