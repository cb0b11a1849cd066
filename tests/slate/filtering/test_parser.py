"""Expressions are read as the grammar says, and what cannot be read is refused with its place and a remedy."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.slate.filtering.parser import DEEPEST, LONGEST, parse_filter
from tailorbird.slate.filtering.terms import Among, Compare, Either, Every, FilterError, Has, Not


def test_the_example_of_the_page_reads_as_it_is_meant() -> None:
    term = parse_filter('category in ["a", \'b\'] and price < 50 and age_days < 30 and not brand = "x"')
    assert term == Every(
        (
            Among("category", ("a", "b")),
            Compare("price", "<", 50.0),
            Compare("age_days", "<", 30.0),
            Not(Compare("brand", "=", "x")),
        )
    )


def test_and_binds_before_or_and_parentheses_before_both() -> None:
    assert parse_filter("a=1 or b=2 and c=3") == Either(
        (Compare("a", "=", 1.0), Every((Compare("b", "=", 2.0), Compare("c", "=", 3.0))))
    )
    assert parse_filter("(a=1 or b=2) and c=3") == Every(
        (Either((Compare("a", "=", 1.0), Compare("b", "=", 2.0))), Compare("c", "=", 3.0))
    )
    assert parse_filter("NOT a=1 AND b=2") == Every((Not(Compare("a", "=", 1.0)), Compare("b", "=", 2.0)))


def test_unequal_and_not_in_want_the_value_to_be_known() -> None:
    assert parse_filter('brand != "x"') == Every((Has("brand"), Not(Compare("brand", "=", "x"))))
    assert parse_filter("size not in [1]") == Every((Has("size"), Not(Among("size", (1.0,)))))


def test_names_may_be_of_any_alphabet_or_in_backquotes_and_texts_hold_escapes() -> None:
    assert parse_filter("größe >= -1.5e2") == Compare("größe", ">=", -150.0)
    assert parse_filter("`Screen size` = true") == Compare("Screen size", "=", True)
    assert parse_filter(r'a = "it\u0073 \"b\" \\ \n"') == Compare("a", "=", 'its "b" \\ \n')
    assert parse_filter("has attributes.price") == Has("attributes.price")


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", 1, "the expression ends"),
        ("price", 6, "the expression ends where we expect one of"),
        ("price < 1 / 0", 11, "no arithmetic"),
        ("1 < price", 1, "the name of an attribute"),
        ("price == 1", 7, "write ="),
        ("a = 1 && b = 2", 7, "or and, or"),
        ("price < tea", 9, 'put texts in quotes: "tea"'),
        ("price < null", 9, "write has attribute"),
        ("price < NaN", 9, "NaN is no value"),
        ("price < 1e999", 9, "too large"),
        ("price < 12kg", 9, "neither a number nor a name"),
        ('brand = "tea', 9, "does not close"),
        (r'brand = "a\qb"', 11, r"\q in a text"),
        ("(price < 1", 11, "the parenthesis of character 1 to close"),
        ("price in []", 11, "a text in quotes, a number"),
        ("price in [1 2]", 13, "the bracket of character 10"),
        ("price in 1", 10, "a list in brackets"),
        ("gift > true", 6, "compare with = or !="),
        ("price < 1 price > 2", 11, "the expression to end here"),
        ("price < 1; drop", 10, "means nothing here"),
        ("not " * 40 + "a = 1", 129, "within each other"),
        ("(" * 40 + "a = 1" + ")" * 40, DEEPEST + 1, "within each other"),
        (" or ".join(["a = 1"] * 129), 1153, "more than 128 comparisons"),
        ("a in [" + "1," * 1_000 + "1]", 6, "more than 1,000 values"),
        ("a = " + '"' + "x" * 10_000 + '"', LONGEST + 1, "10,006 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_place_and_remedy(text: str, place: int, says: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse_filter(text)
    assert refused.value.place == place
    assert says in str(refused.value)
    assert refused.value.remedy


@given(st.text(alphabet=st.sampled_from("ab \"'`\\[](),=<>!1.-+/eu0\n\ud800notinhas"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except FilterError as refused:
        place = refused.place
    else:
        place = 1
    assert 1 <= place <= len(text) + 1


def test_the_longest_expressions_are_refused_quickly() -> None:
    for text in (
        "(" * LONGEST,
        "not " * 1_000,
        "[" * LONGEST,
        "1" * LONGEST,
        '"' + "\\" * 4_000,
        "a=1 or " * 585,
    ):
        started = time.perf_counter()
        with pytest.raises(FilterError):
            parse_filter(text)
        assert time.perf_counter() - started < 5  # not exponential
