"""A page that breaks names no person in the log."""

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI

from serving.admin.pages import answer_when_broken


def test_the_log_has_the_declared_path_and_not_whose_it_was(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.add_exception_handler(Exception, answer_when_broken)

    @app.get("/v1/users/{user_id:path}/profile")
    def profile(user_id: str) -> None:
        raise RuntimeError("broken")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/v1/users/ann@shop.test/profile")

    with caplog.at_level(logging.ERROR, logger="ray.serve.tailorbird"):
        answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["type"].endswith("internal-error")
    logged = "\n".join(each.getMessage() for each in caplog.records if each.name == "ray.serve.tailorbird")
    assert "ann@shop.test" not in caplog.text
    assert logged == "GET /v1/users/{user_id:path}/profile failed"
