"""The routes of a user's merged profile. They live where /v1/users lives and pass on to collect, which stores events."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from serving.http.bodies import parse_body, parse_identifier
from serving.http.front import Answer, Request
from serving.http.problems import passed_on
from serving.http.schemas import Linked, MergeRequest

Link = Callable[[str, str, bool, str], Awaitable[Linked]]
"""Ask collect to join (True) or part (False) a user id and an anonymous id, as the key of some id says it."""


class MergeRoutes:
    """``POST`` and ``DELETE /v1/users/{id}/merge``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def merge(self, request: Request) -> Answer:
        """POST: from the next answer on the user's profile holds what was done under the anonymous id."""
        user_id = parse_identifier(request.argument, name="the user's id")
        anonymous_id = parse_body(MergeRequest, request.body).anonymous_id
        return await self._answer(request, user_id, anonymous_id, joined=True)

    async def part(self, request: Request) -> Answer:
        """DELETE: the profiles are as if they had never been joined."""
        user_id = parse_identifier(request.argument, name="the user's id")
        anonymous_id = parse_identifier(request.query.get("anonymousId", ""), name="?anonymousId=")
        return await self._answer(request, user_id, anonymous_id, joined=False)

    async def _answer(self, request: Request, user_id: str, anonymous_id: str, *, joined: bool) -> Answer:
        linked = await passed_on(
            self._link(user_id, anonymous_id, joined, request.key), remedy="send it again: twice is once"
        )
        return Answer(linked.model_dump_json(by_alias=True).encode(), HTTPStatus.ACCEPTED)
