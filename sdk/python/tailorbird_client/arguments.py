"""The named arguments of the calls, and how long each may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from tailorbird_client.attempts import Attempts


class Asking(TypedDict, total=False):
    """Of every call: seconds an attempt, seconds in all; by default the client's."""

    timeout: float
    deadline: float


class Visiting(Asking, total=False):
    """Who asks."""

    user_id: str | None
    anonymous_id: str | None
    session_id: str | None
    context: Mapping[str, Any] | None
    explain: bool | None


class Ranking(Visiting, total=False):
    """Of ``rank``."""


class Recommending(Visiting, total=False):
    """Of ``recommend``; the platform's docs/http-api.md says what each means."""

    scenario: str | None
    num_results: int | None
    item_id: str | None
    filter: str | Mapping[str, Any] | None
    segment_filter: Sequence[Mapping[str, Any]] | None
    include_item_ids: Sequence[str] | None
    exclude_item_ids: Sequence[str] | None
    boost: Sequence[Mapping[str, Any]] | None
    pin: Sequence[Mapping[str, Any]] | None
    max_per_category: int | None
    max_per_brand: int | None
    cursor: str | None


@dataclass(frozen=True)
class Waiting:
    """How long one call may take, where it says so itself."""

    timeout: float | None = None
    deadline: float | None = None

    @classmethod
    def split(cls, arguments: Mapping[str, Any]) -> tuple["Waiting", dict[str, Any]]:
        """The waiting among the arguments of a call, and the others."""
        rest = dict(arguments)
        return cls(rest.pop("timeout", None), rest.pop("deadline", None)), rest


@dataclass(frozen=True)
class Patience:
    """How long calls may take, where they do not say so themselves."""

    timeout: float
    deadline: float
    retries: int

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.deadline <= 0 or self.retries < 0:
            raise ValueError(
                f"timeout {self.timeout} and deadline {self.deadline} must be positive, retries {self.retries} not negative"
            )

    def begin(self, waiting: Waiting, *, now: float) -> Attempts:
        """The attempts of a call that begins now."""
        timeout = self.timeout if waiting.timeout is None else waiting.timeout
        deadline = self.deadline if waiting.deadline is None else waiting.deadline
        return Attempts(now, timeout, deadline, self.retries)
