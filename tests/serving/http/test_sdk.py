"""The browser SDK as the platform serves it: under its content's hash for good, packed for who reads that."""

import asyncio
import gzip

import pytest

from serving.http.front import Request
from serving.http.sdk import FILE, content_hash, sdk_routes

NAME = content_hash(FILE.read_bytes())


def test_the_short_name_leads_to_the_hash_for_some_minutes(world):
    response = world.call("GET", "/sdk.js")
    assert (response.status_code, response.headers["location"]) == (302, f"sdk/{NAME}.js")
    assert response.headers["cache-control"] == "public, max-age=300"


@pytest.mark.parametrize("accepts", ["gzip, br", "identity"])
def test_the_script_never_changes(world, accepts):
    response = world.call("GET", f"/sdk/{NAME}.js", headers={"accept-encoding": accepts})
    assert response.content == FILE.read_bytes()
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["access-control-allow-origin"] == "*"
    assert ("content-encoding" in response.headers) == ("gzip" in accepts)


def test_the_hash_of_another_version_leads_to_this_one(world):
    response = world.call("GET", "/sdk/0123456789abcdef.js")
    assert (response.status_code, response.headers["location"]) == (302, f"{NAME}.js")
    assert response.headers["cache-control"] == "no-store"


def test_the_description_of_the_service_names_both_and_their_answers(world):
    paths = world.call("GET", "/openapi.json").json()["paths"]
    assert set(paths["/sdk.js"]["get"]["responses"]) == {"302"}
    kept = paths["/sdk/{content_hash}.js"]["get"]
    assert {"200", "302"} <= set(kept["responses"])
    assert set(kept["responses"]["200"]["content"]) == {"text/javascript"}


def test_other_content_has_another_name(tmp_path):
    file = tmp_path / "sdk.js"
    file.write_bytes(b"other")
    lead, script = sdk_routes(file)
    name = content_hash(b"other")
    assert name != NAME
    assert asyncio.run(lead.handler(Request())).headers["location"] == f"sdk/{name}.js"
    packed = Request(argument=name, headers=[(b"accept-encoding", b"gzip")])
    assert gzip.decompress(asyncio.run(script.handler(packed)).body) == b"other"
