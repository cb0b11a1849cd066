"""What the OpenAPI description says of keys: how they are sent, and how a door refuses who has none that is good there."""

from typing import Any

from fastapi import FastAPI

_REFUSALS = {
    "401": "No key that is good here.",
    "403": "A good key that may not do this, or not from that page.",
    "429": "Too often; `retry-after` says when.",
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`tailorbird keys new`"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_OPEN = frozenset({"/health/live", "/health/ready", "/v1/events/health", "/sdk.js", "/sdk/{content_hash}.js"})
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})


def describe_keys(app: FastAPI) -> None:
    """Have the description of ``app``, which is made when it is asked for, say so for all doors but those that are everybody's."""
    before = app.openapi
    app.openapi = lambda: with_keys(before())  # type: ignore[method-assign]


def with_keys(description: dict[str, Any]) -> dict[str, Any]:
    """The description with keys; a workspace without any asks for none, so each way to send one is a choice."""
    described = {**description, "components": {**description["components"]}}
    described["components"]["securitySchemes"] = _SCHEMES
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    refusals = {
        status: {"description": text, "content": {"application/problem+json": problem}}
        for status, text in _REFUSALS.items()
    }
    described["paths"] = {
        path: {
            method: {
                **operation,
                "responses": {**operation["responses"], **refusals},
                "security": [{}, *({name: []} for name in _SCHEMES)],
            }
            if method in _METHODS and path not in _OPEN
            else operation
            for method, operation in operations.items()
        }
        for path, operations in description["paths"].items()
    }
    return described
