"""Slates in words: sources, fallback lists and rules, as one would say them."""

from collections.abc import Mapping

SOURCES: Mapping[str, str] = {
    "cooccurrence": "what others took together with the items of this history",
    "sequence": "what tends to come next after this history",
    "content": "what is described like the items of this history",
    "popularity": "what is popular",
    "habit": "what this person comes back to",
    "similar": "what goes with the item asked about",
}
LISTS: Mapping[str, str] = {
    "segment_popularity": "what is popular in this person's segment",
    "popularity": "what is popular with everybody",
    "editorial": "the editor's choice",
}
RULES: Mapping[str, str] = {
    "hidden": "hidden by this person",
    "seen": "already had by this person",
    "out_of_stock": "out of stock",
    "not_launched": "not launched yet",
    "excluded": "left out by the request",
    "shown_before": "shown on an earlier page",
    "rule": "against the request's filter",
    "filter": "against the filter of the request or its scenario",
    "not_included": "not among the only items asked for",
    "deleted": "not in the catalogue any more",
}


def number_of(rank: int, source: str) -> str:
    """Say at which place (0 the first) a source had an item."""
    return f"number {rank + 1} of {_called(SOURCES, source)}"


def filled_in(rank: int, name: str) -> str:
    """Say that a fallback list gave an item, and as its how many-th (0 the first)."""
    return f"filled in, number {rank + 1} of {_called(LISTS, name)}"


def rule_in_words(rule: str, count: int) -> str:
    """Say how many items a rule took out."""
    return f"{count:,} {'item' if count == 1 else 'items'} {RULES.get(rule, rule)}"


def _called(names: Mapping[str, str], name: str) -> str:
    return f"{names[name]} ({name})" if name in names else name
