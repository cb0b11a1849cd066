"""What a TC string consents to is read as iab-tcf 0.2.2 reads it, and whatever is no such string is said to be none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.privacy.policy.tcf import consented, purposes_of, told_by

SOME = "CPXxRfAPXxRfAAfKABENB-CgACJlsQAAAAYgAAAAAAAA"
NONE = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
LONG = (
    "CLcVDxRMWfGmWAVAHCENAXCkAKDAADnAABRgA5mdfCKZuYJez-NQm0TBMYA4oCAAGQYIAAAAAAEAIAEgAA.argAC0gAAAAAAAAAAAA"
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (SOME, {3, 7, 10, 11, 14, 16, 17, 19, 20, 24}),
        ("CPXxRfAPXxRfAAfKABENB-CgAJG3WAAAAAYgAAAAAAAA", {1, 4, 8, 9, 11, 12, 14, 15, 16, 18, 20, 21}),
        (NONE, set()),
        (LONG, {1, 3, 9, 10}),
    ],
)
def test_strings_are_read_as_the_framework_writes_them(text: str, numbers: set[int]) -> None:
    assert consented(text) == numbers


def test_a_purpose_is_consented_to_where_all_its_numbers_are() -> None:
    named = {"personalization": [3, 7], "advertising": [3, 4], "analytics": [8]}
    assert purposes_of(SOME, named) == {"personalization": True, "advertising": False, "analytics": False}
    with pytest.raises(UsageError, match="is not said") as refused:
        purposes_of(SOME, {})
    assert "[tcf]" in (refused.value.remedy or "")


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_whatever_comes_is_read_or_refused_in_words(text: str) -> None:
    try:
        found = consented(text)
    except UsageError:
        return
    assert found <= set(range(1, 25))


@pytest.mark.parametrize("text", ["", "yes", SOME[:20], "B" + SOME[1:], "A" * 5_000, "Ä" * 40])
def test_what_is_none_is_nothing_said(text: str) -> None:
    with pytest.raises(UsageError, match="no TC string of version 2"):
        consented(text)
    assert told_by(text, {"analytics": [1]}) is None
    assert told_by(True, {"analytics": [1]}) is None
    assert told_by(SOME, {}) is None
