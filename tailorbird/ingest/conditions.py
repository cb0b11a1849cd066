"""The tests of a mapping's ``cases``: which rows of a column a case is about."""

import re
from collections.abc import Mapping

import pandas as pd

from tailorbird.errors import UsageError
from tailorbird.ingest.values import texts

TESTS = ("below", "at_most", "equals", "matches", "missing")


def hits(column: pd.Series, case: Mapping[str, object]) -> pd.Series:
    """(rows,) whether each value passes the case's one test; ``matches`` finds a pattern anywhere, in either case."""
    if "below" in case:
        return pd.to_numeric(column, errors="coerce") < case["below"]
    if "at_most" in case:
        return pd.to_numeric(column, errors="coerce") <= case["at_most"]
    if "missing" in case:
        return filled(column) != case["missing"]
    names = texts(column)
    if "matches" in case:
        found = re.compile(str(case["matches"]), re.IGNORECASE).search
        return names.map(lambda name: name is not None and found(name) is not None).astype(bool)
    return names == str(case["equals"])


def filled(column: pd.Series) -> pd.Series:
    """(rows,) whether a value says anything; an empty text does not."""
    return column.notna() & column.map(lambda value: not isinstance(value, str) or value != "").astype(bool)


def check_cases(cases: object, *, has_otherwise: bool, where: str) -> None:
    """Raise UsageError unless ``cases`` is a list of tests with their outcomes, and ``otherwise`` stands beside."""
    if not isinstance(cases, list) or not has_otherwise or not all(map(_is_case, cases)):
        raise UsageError(
            f"{where}: cases {cases!r}",
            remedy='write cases = [{ column = "…", below = 0, then = "…" }], otherwise = "…"; '
            f"a test is {', '.join(TESTS[:-1])} or {TESTS[-1]}",
        )
    for case in cases:
        pattern = str(case.get("matches", ""))
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"{where}: matches = {pattern!r} is no regular expression: {error}",
                remedy="correct the pattern",
            ) from error


def _is_case(case: object) -> bool:
    return (
        isinstance(case, dict)
        and {"column", "then"} <= set(case)
        and sum(test in case for test in TESTS) == 1
    )
