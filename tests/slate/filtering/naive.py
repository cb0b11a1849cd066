"""The language evaluated one item at a time, as its page describes it: what the columns are held against."""

import operator
from collections.abc import Mapping
from typing import Any

from tailorbird.slate.filtering.terms import Among, Compare, Either, Every, Has, Not, Scalar, Term

SIGNS = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def fulfils(item: Mapping[str, Any], term: Term, *, now: float) -> bool:
    if isinstance(term, Not):
        return not fulfils(item, term.term, now=now)
    if isinstance(term, Every):
        return all(fulfils(item, each, now=now) for each in term.terms)
    if isinstance(term, Either):
        return any(fulfils(item, each, now=now) for each in term.terms)
    values = values_of(item, term.attribute, now=now)
    if isinstance(term, Has):
        return bool(values)
    if isinstance(term, Among):
        return any(alike(value, wanted) for value in values for wanted in term.values)
    assert isinstance(term, Compare)
    return any(same_kind(value, term.value) and SIGNS[term.sign](value, term.value) for value in values)


def values_of(item: Mapping[str, Any], name: str, *, now: float) -> list[Scalar]:
    if name == "age_days":
        launched = item["launched_at"]
        return [] if launched is None else [(now - launched) / 86_400.0]
    value = item["categories"] if name == "category" else item.get(name, item["attributes"].get(name))
    values = value if isinstance(value, list) else [value]
    known = [each for each in values if isinstance(each, bool | int | float | str) and each != ""]
    return [each if isinstance(each, bool | str) else float(each) for each in known]


def same_kind(one: Scalar, other: Scalar) -> bool:
    return type(one) is type(other)


def alike(one: Scalar, other: Scalar) -> bool:
    return same_kind(one, other) and one == other
