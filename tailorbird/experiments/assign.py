"""Assignment: which arm answers a request, a pure function of the arms and of who asks."""

from collections.abc import Sequence
from typing import Protocol

from tailorbird.experiments.arm import CHAMPION, Arm


class Unit(Protocol):
    """Whom an arm is assigned to."""

    @property
    def user_key(self) -> str:
        """The person, ``user:…`` or ``anon:…``."""

    @property
    def scenario(self) -> str:
        """Where on the page the slate stands."""


def assign(unit: Unit, arms: Sequence[Arm]) -> str:
    """The name of the arm that answers ``unit``: nobody takes part in an experiment yet."""
    return CHAMPION
