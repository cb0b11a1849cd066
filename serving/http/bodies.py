"""Reads a request's body or argument into what the schema says, or refuses it as a problem."""

import json
from http import HTTPStatus
from typing import NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from serving.http.problems import ProblemError, invalid
from serving.http.schemas import Identifier

Schema = TypeVar("Schema", bound=BaseModel)
_IDENTIFIER = TypeAdapter(Identifier)


def parse_body(schema: type[Schema], body: bytes) -> Schema:
    """The body as ``schema``, by the names of the API only. Raises ProblemError."""
    if b"NaN" in body or b"Infinity" in body:  # maybe in a text; as numbers they are no JSON
        _require_numbers(body)
    try:
        return schema.model_validate_json(body, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid(error) from None


def parse_identifier(value: str, *, name: str) -> str:
    """An id out of a path or a query, where it is called ``name``. Raises ProblemError."""
    try:
        return _IDENTIFIER.validate_python(value)
    except ValidationError as error:
        raise invalid(error, where=name) from None


def _require_numbers(body: bytes) -> None:
    def refuse(constant: str) -> NoReturn:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            "malformed-json",
            f"the body is not JSON: {constant} is no number",
            remedy="leave the value out, or send a finite number",
        )

    try:
        json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        return  # what else is wrong with it is said by the schema
