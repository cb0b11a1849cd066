"""A route knows its path."""

import pytest

from serving.http.front import Route


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("/v1/items/a/similar", "a"),
        ("/v1/items/a/b/similar", "a/b"),
        ("/v1/items//similar", None),
        ("/v1/items/a", None),
    ],
)
def test_a_route_finds_its_argument(path, argument):
    async def nothing(request):
        raise NotImplementedError

    assert Route("similar", "GET", "/v1/items/", nothing, suffix="/similar").argument(path) == argument
