"""The routes of a user's merged profile. They live where /v1/users lives and pass on to collect, which stores events."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from pydantic import TypeAdapter, ValidationError

from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, invalid
from serving.http.schemas import Identifier, Linked, MergeRequest

Link = Callable[[str, str, bool], Awaitable[Linked]]
"""Ask collect to join (True) or part (False) a user id and an anonymous id."""
_ID = TypeAdapter(Identifier)


class MergeRoutes:
    """``POST`` and ``DELETE /v1/users/{id}/merge``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def merge(self, request: Request) -> Answer:
        """POST: from the next answer on the user's profile holds what was done under the anonymous id."""
        try:
            user_id = _ID.validate_python(request.argument)
            anonymous_id = MergeRequest.model_validate_json(request.body).anonymous_id
        except ValidationError as error:
            raise invalid(error) from None
        return await self._answer(user_id, anonymous_id, joined=True)

    async def part(self, request: Request) -> Answer:
        """DELETE: the profiles are as if they had never been joined."""
        try:
            user_id = _ID.validate_python(request.argument)
            anonymous_id = _ID.validate_python(request.query.get("anonymousId", ""))
        except ValidationError as error:
            raise invalid(error) from None
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
            ) from error
        return Answer(linked.model_dump_json(by_alias=True).encode(), HTTPStatus.ACCEPTED)
