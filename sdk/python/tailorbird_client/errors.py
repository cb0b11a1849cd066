"""What goes wrong: the platform refuses, or cannot be reached in time."""

from collections.abc import Mapping, Sequence
from typing import Any


class ClientError(Exception):
    """Anything that a call of this client raises."""


class UnavailableError(ClientError):
    """No answer within the deadline; ``last`` says how the last attempt ended."""

    def __init__(self, last: str, *, attempts: int) -> None:
        super().__init__(f"no answer after {attempts} attempts: {last}")
        self.last, self.attempts = last, attempts


class RefusedError(ClientError):
    """The platform answered that it will not: problem details (RFC 9457), in its own words."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(problem.get("type", ""))
        self.detail = str(problem.get("detail", ""))
        self.remedy = str(problem.get("remedy", ""))
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors") or []
        where = "; ".join(
            f"{each.get('pointer', '')} {each.get('detail', '')}".strip() for each in self.errors
        )
        words = [self.detail or f"status {status}", where, self.remedy]
        super().__init__("; ".join(word for word in words if word))
