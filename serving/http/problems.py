"""Problem details (RFC 9457): every refusal says what, the value and the remedy, and never shows a traceback."""

import re
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from tailorbird.errors import TailorbirdError

MEDIA_TYPE = b"application/problem+json"
SHOWN_ERRORS = 20
HIDDEN = "…"
LONG_NUMBER = 10**8
Schema = TypeVar("Schema", bound=BaseModel)
_is_word = re.compile(r"[a-z][a-z_-]{0,23}|[A-Z_]{1,24}|\d{1,6}").fullmatch
_is_name = re.compile(r"\d{1,6}|[A-Za-z][A-Za-z_]{0,31}|[a-z-]+\[[a-z,\[\]-]+\]|[a-z]+(-[a-z]+)+").fullmatch


class ProblemError(Exception):
    """A refusal with its status; ``slug`` names the kind of problem."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        remedy: str = "",
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.status, self.slug, self.detail, self.remedy = status, slug, detail, remedy
        self.errors = list(errors)

    def told(self) -> list[Any]:
        """All that another application needs to refuse in the same way: plain values for :meth:`of_told`."""
        return [self.status, self.slug, self.detail, self.remedy, dict(self.headers)]

    @classmethod
    def of_told(cls, told: Sequence[Any]) -> "ProblemError":
        """The refusal that another application told."""
        status, slug, detail, remedy, headers = told
        return cls(status, slug, detail, remedy=remedy, headers=headers)

    def body(self) -> bytes:
        """The problem as JSON."""
        problem: dict[str, Any] = {
            "type": f"urn:tailorbird:problem:{self.slug}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.remedy:
            problem["remedy"] = self.remedy
        if self.errors:
            problem["errors"] = self.errors
        return orjson.dumps(problem, default=str)


async def packed(answer: Awaitable[BaseModel]) -> dict[str, Any]:
    """What one application answers another, as plain values for :func:`unpacked`: the answer, or its refusal as ``problem``."""
    try:
        return (await answer).model_dump()
    except ProblemError as problem:
        return {"problem": problem.told()}


async def unpacked(answer: Awaitable[Mapping[str, Any]], schema: type[Schema]) -> Schema:
    """What another application answered by :func:`packed`. Raises ProblemError where it refused, as it would have itself."""
    told = await answer
    if "problem" in told:
        raise ProblemError.of_told(told["problem"])
    return schema.model_validate(told)


async def passed_on(answer: Awaitable[Schema], *, remedy: str) -> Schema:
    """What collect answers to something that it is to store. Raises ProblemError, also where it is away."""
    try:
        return await answer
    except ProblemError:
        raise
    except Exception as error:  # collect may be away in any of Ray's ways
        raise not_stored(f"collect did not answer: {type(error).__name__}", remedy=remedy) from error


def invalid(error: ValidationError, *, where: str = "") -> ProblemError:
    """Turn pydantic's findings into one problem: 400 when the JSON does not parse, 422 when it breaks the schema.

    ``where`` names what was read, where it is not the body.
    """
    findings = error.errors(include_url=False, include_context=False)
    first = findings[0]
    if first["type"] == "json_invalid":
        return ProblemError(
            HTTPStatus.BAD_REQUEST,
            "malformed-json",
            f"the body is not JSON: {first['msg']}",
            remedy="send one JSON object, UTF-8",
        )
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        reason(error, where=where),
        remedy="see /openapi.json for the schema",
        errors=[
            {"pointer": pointer(finding["loc"]), "detail": finding["msg"], "value": shown(finding["input"])}
            for finding in findings[:SHOWN_ERRORS]
        ],
    )


def reason(error: ValidationError, *, where: str = "") -> str:
    """The first finding in one line: where, what and the value."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = pointer(first["loc"]) or where or "the body"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" + (
        "" if isinstance(first["input"], dict) else f", got {shown(first['input'])}"
    )


def pointer(location: Iterable[int | str]) -> str:
    """A JSON pointer (RFC 6901); a name that is no word of a program may be anybody's, and is left out."""
    parts = [str(part) for part in location if not str(part).startswith("<")]  # which kind of value was tried
    return "".join(f"/{part if _is_name(part) else HIDDEN}" for part in parts)


def shown(value: object) -> str:
    """A value as a refusal may repeat it: a word, a short number; of anything else, which may be somebody's, how much it is.

    Whoever sent it knows it; their logs, and those of whatever lies between, need not.
    """
    if isinstance(value, str):
        return f'"{value}"' if _is_word(value) else f"a text of {len(value):,} characters"
    if isinstance(value, bool) or value is None:
        return orjson.dumps(value).decode()
    if isinstance(value, int | float):
        return f"{value}" if abs(value) < LONG_NUMBER else "a long number"
    if isinstance(value, Mapping):
        return f"an object of {len(value):,} fields"
    if isinstance(value, list | tuple | set | frozenset):
        return f"a list of {len(value):,}"
    return f"a {type(value).__name__}"


def shown_path(path: str) -> str:
    """A path, of which parts that may be somebody's id are left out."""
    return "/".join(
        part if not part or _is_word(part) or part == "v1" else HIDDEN for part in path.split("/")
    )


def not_found(path: str) -> ProblemError:
    """No such path."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "not-found",
        f"nothing at {shown_path(path)}",
        remedy="see /openapi.json for what there is",
    )


def not_now(error: TailorbirdError) -> ProblemError:
    """What the workspace cannot do at the moment, and can again."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-now",
        error.what,
        remedy=error.remedy,
        headers={"retry-after": "1"},
    )


def not_stored(what: str, *, remedy: str) -> ProblemError:
    """What was told is not on disk, and can be told again."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE, "not-stored", what, remedy=remedy, headers={"Retry-After": "1"}
    )


def method_not_allowed(method: str, path: str, allowed: Iterable[str]) -> ProblemError:
    """The path exists, the method does not."""
    return ProblemError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        f"{shown_path(path)} does not answer {method}",
        remedy=f"use {' or '.join(sorted(allowed))}",
        headers={"allow": ", ".join(sorted(allowed))},
    )


def too_slow(seconds: float) -> ProblemError:
    """The body did not come in time."""
    return ProblemError(
        HTTPStatus.REQUEST_TIMEOUT,
        "body-too-slow",
        f"the body did not arrive within {seconds:g} s",
        remedy="send it in one go",
    )


def too_large(limit: int, *, setting: str = "TAILORBIRD_MAX_BODY_BYTES") -> ProblemError:
    """The body is larger than we read."""
    return ProblemError(
        413,
        "body-too-large",
        f"the body is larger than {limit:,} bytes",
        remedy=f"send less at once, or raise {setting}",
    )
