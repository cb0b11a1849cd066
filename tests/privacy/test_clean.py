"""A context that is taken for clean loses nothing for anybody, also at the second look; names are HMACs, however they are made."""

import hmac
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.privacy.door.clean import CleanContexts
from tailorbird.privacy.door.minimise import Declared, parted_context
from tailorbird.privacy.erasure.mentions import SHORT
from tailorbird.privacy.keys.pseudonyms import Pseudonyms

NAMES = st.sampled_from(["device", "referrer", "country", "page", "consent", "basis", "campaign", "of Ann"])
VALUES = st.one_of(
    st.sampled_from(["mobile", "search", "de", "spring", "Ann Miller", "x@y.test", "4111111111111111"]),
    st.sampled_from([0, 1, 1.0, True, False, None, 99_999, 100_000, 123_456.5, -5, 10**9, float("nan")]),
    st.sampled_from([{"personalization": True}, ["a"], {}]),
)
DECLARED = Declared(context=frozenset({"campaign"}))


@given(seen=st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=8))
def test_what_is_taken_for_clean_is_kept_whole_whoever_it_is_about(seen: list[dict[str, object]]) -> None:
    clean = CleanContexts(DECLARED)
    for context in [*seen, *seen]:
        if clean.holds(context):
            numbers = [value for value in context.values() if isinstance(value, float | int)]
            ids = {text for each in numbers for text in (str(each), f"{each:.15g}") if len(text) >= SHORT}
            parted = parted_context(context, declared=DECLARED, ids=ids)
            assert (parted.kept, parted.personal) == (context, {})


@pytest.mark.parametrize(
    ("context", "clean"),
    [
        ({"device": "mobile", "page": 3, "campaign": "spring"}, True),
        ({"page": 99_999}, True),
        ({"page": 100_000}, False),
        ({"device": "Ann's telephone"}, False),
        ({"consent": True}, False),
        ({"basis": 1}, False),
        ({"consent": {"personalization": True}}, False),
    ],
)
def test_which_contexts_are_clean(context: dict[str, object], clean: bool) -> None:
    known = CleanContexts(DECLARED)
    assert [known.holds(context), known.holds(context)] == [clean, clean]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailorbird.privacy.door.clean._REMEMBERED", 10)
    known = CleanContexts(DECLARED)
    assert all(known.holds({"page": n}) for n in range(100))
    assert len(known._known) <= 10


@pytest.mark.parametrize("context", [{f"a{n}": n for n in range(1_300)}, {"campaign": "spring" * 2_000}])
def test_a_large_context_is_looked_at_anew(context: dict[str, object]) -> None:
    known = CleanContexts(DECLARED)
    assert [known.holds(context), known.holds(context)] == [True, True]
    assert not known._known


@given(key=st.binary(min_size=1, max_size=100), name=st.text(st.characters(codec=None)))
def test_a_name_is_the_hmac_of_the_id(key: bytes, name: str) -> None:
    said = f"message\0{name}".encode("utf-8", "surrogatepass")
    wanted = urlsafe_b64encode(hmac.digest(key, said, "sha256")[:16])[:22].decode()
    assert Pseudonyms(key).message(name) == wanted
