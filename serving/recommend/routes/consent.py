"""The public route of a person's consent. It lives where /v1/users lives and passes on to collect, which stores events."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from serving.http.bodies import parse_body, parse_identifier
from serving.http.consents import Consented, ConsentTold
from serving.http.front import Answer, Request
from serving.http.problems import ProblemError, passed_on
from tailorbird.privacy.policy.policy import PolicyNow

Say = Callable[[str, ConsentTold, bool, str], Awaitable[Consented]]
"""Ask collect to store a word of a person, whose id is an anonymous one (True) or a user's, as the key of some id says it."""


class ConsentRoute:
    """``PUT /v1/users/{id}/consent``."""

    def __init__(self, say: Say, policy: PolicyNow) -> None:
        self._say, self.policy = say, policy

    async def put(self, request: Request) -> Answer:
        """From the next answer on it holds; purposes that are not named stay as they were."""
        identifier = parse_identifier(request.argument, name="the person's id")
        asked = request.query.get("anonymous", "false")
        if set(request.query) - {"anonymous", "key"} or asked not in ("true", "false"):
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid-request",
                "the parameters of the address are not what this asks for",
                remedy="the parameter is anonymous, true or false",
            )
        body = parse_body(ConsentTold, request.body)
        found = await passed_on(
            self._say(identifier, body, asked == "true", request.key),
            remedy="send it again: the newest counts",
        )
        return Answer(found.model_dump_json(by_alias=True).encode(), HTTPStatus.OK)
