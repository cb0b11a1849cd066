"""The routes of a user's merged profile. They live where /v1/users lives and pass on to collect, which stores events."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from serving.http.bodies import parse_body, parse_identifier
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError
from serving.http.schemas import Linked, MergeRequest

Link = Callable[[str, str, bool], Awaitable[Linked]]
"""Ask collect to join (True) or part (False) a user id and an anonymous id."""


def linked(answer: Mapping[str, Any]) -> Linked:
    """What collect answered (``Collect.link``). Raises ProblemError where it refused, as it would have itself."""
    if "problem" in answer:
        raise ProblemError.of_told(answer["problem"])
    return Linked.model_validate(answer)


class MergeRoutes:
    """``POST`` and ``DELETE /v1/users/{id}/merge``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def merge(self, request: Request) -> Answer:
        """POST: from the next answer on the user's profile holds what was done under the anonymous id."""
        user_id = parse_identifier(request.argument, name="the user's id")
        anonymous_id = parse_body(MergeRequest, request.body).anonymous_id
        return await self._answer(user_id, anonymous_id, joined=True)

    async def part(self, request: Request) -> Answer:
        """DELETE: the profiles are as if they had never been joined."""
        user_id = parse_identifier(request.argument, name="the user's id")
        anonymous_id = parse_identifier(request.query.get("anonymousId", ""), name="?anonymousId=")
        return await self._answer(user_id, anonymous_id, joined=False)

    async def _answer(self, user_id: str, anonymous_id: str, *, joined: bool) -> Answer:
        try:
            linked = await self._link(user_id, anonymous_id, joined)
        except ProblemError:
            raise
        except Exception as error:  # collect may be away in any of Ray's ways
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-stored",
                f"collect did not answer: {type(error).__name__}",
                remedy="send it again: twice is once",
                headers={"Retry-After": "1"},
            ) from error
        return Answer(linked.model_dump_json(by_alias=True).encode(), HTTPStatus.ACCEPTED)
