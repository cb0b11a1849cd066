"""A cursor comes back as it went out, and a forged one is refused."""

import base64
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.cursor import MAX_IDS, read_cursor, write_cursor
from serving.http.problems import ProblemError


@given(st.lists(st.text(max_size=20), max_size=50))
def test_a_cursor_returns_what_it_was_given(item_ids):
    assert read_cursor(write_cursor(item_ids)) == tuple(item_ids)


@given(st.text(min_size=1, max_size=80))
def test_a_forged_cursor_is_a_problem_and_nothing_else(text):
    with pytest.raises(ProblemError):
        read_cursor(text)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], "text", "x" * 50_000_000])
def test_a_cursor_of_another_shape_is_refused(content):
    forged = base64.urlsafe_b64encode(zlib.compress(orjson.dumps(content))).decode()
    with pytest.raises(ProblemError):
        read_cursor(forged)


def test_a_cursor_that_would_not_be_read_is_not_written():
    assert read_cursor(write_cursor(["a"] * MAX_IDS)) == ("a",) * MAX_IDS
    assert write_cursor(["a"] * (MAX_IDS + 1)) is None
    forged = base64.urlsafe_b64encode(zlib.compress(orjson.dumps(["a"] * (MAX_IDS + 1)))).decode()
    with pytest.raises(ProblemError):
        read_cursor(forged)
