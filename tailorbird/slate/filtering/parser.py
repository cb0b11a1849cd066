"""Reads a filter expression into its terms: bounded in length, depth and size, and refused with place and remedy.

::

    filter     = both { "or" both }
    both       = one { "and" one }
    one        = "not" one | "(" filter ")" | "has" attribute | attribute sign value | attribute ["not"] "in" list
    sign       = "=" | "!=" | "<" | "<=" | ">" | ">="
    list       = "[" value { "," value } "]"
    value      = text | number | "true" | "false"
"""

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from tailorbird.slate.filtering.terms import (
    Among,
    Compare,
    Either,
    Every,
    FilterError,
    Has,
    Not,
    Scalar,
    Term,
)

LONGEST = 4_096
"""Characters of an expression."""
DEEPEST = 32
"""Parentheses and nots within each other."""
MOST_TERMS = 128
MOST_VALUES = 1_000
"""Values of all lists of an expression."""
_SIGNS = ("=", "!=", "<", "<=", ">", ">=")
_WORDS = ("and", "or", "not", "in", "has", "true", "false", "null")
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[^\W\d][\w.]*)
    | (?P<quoted>`[^`]+`)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign>!=|<=|>=|==|<>|&&|\|\||[=<>!()\[\],+*/%^~&|-])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_INSTEAD = {"==": "=", "<>": "!=", "&&": "and", "||": "or", "&": "and", "|": "or", "!": "not"}
_EXAMPLE = 'write for example category in ["tea", "cups"] and price < 50 and not brand = "x"'


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


@lru_cache(maxsize=1_024)
def parse_filter(text: str) -> Term:
    """The terms of an expression; the same text is read once.

    Raises:
        FilterError: it is too long, too deep or does not follow the grammar.
    """
    if len(text) > LONGEST:
        raise FilterError(
            f"the expression has {len(text):,} characters",
            place=LONGEST + 1,
            remedy=f"at most {LONGEST:,} may be; ids belong in include or excludeItemIds",
        )
    return _Parser(_tokens(text)).whole()


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise _not_understood(text, at)
        kind = match.lastgroup or ""
        place, at = match.start(kind) + 1, match.end()
        token = match[kind]
        if kind == "name" and token.lower() in _WORDS:
            kind, token = "word", token.lower()
        found.append(_Token(kind, token, place))
    return [*found, _Token("end", "", end + 1)]


def _not_understood(text: str, at: int) -> FilterError:
    if text[at] in "\"'`":
        return FilterError(
            f"a quote opens and does not close: {text[at : at + 20]}", place=at + 1, remedy="close it"
        )
    if text[at].isdigit():
        return FilterError(
            f"{text[at : at + 20]} is neither a number nor a name",
            place=at + 1,
            remedy="put texts in quotes and names that begin with a digit in `backquotes`",
        )
    return FilterError(f"{text[at]!r} means nothing here", place=at + 1, remedy=_EXAMPLE)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at = tokens, 0
        self._terms = self._values = self._depth = 0

    def whole(self) -> Term:
        term = self._either()
        if self._next.kind != "end":
            raise self._unexpected("the expression to end here, or and, or")
        return term

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _takes(self, kind: str, text: str) -> bool:
        if (self._next.kind, self._next.text) == (kind, text):
            self._at += 1
            return True
        return False

    def _either(self) -> Term:
        terms = [self._both()]
        while self._takes("word", "or"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else Either(tuple(terms))

    def _both(self) -> Term:
        terms = [self._one()]
        while self._takes("word", "and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def _one(self) -> Term:
        place = self._next.place
        if self._takes("word", "not"):
            return Not(self._deeper(place, self._one))
        if self._takes("sign", "("):
            term = self._deeper(place, self._either)
            if not self._takes("sign", ")"):
                raise self._unexpected(f"the parenthesis of character {place} to close")
            return term
        return self._leaf()

    def _deeper(self, place: int, read: Callable[[], Term]) -> Term:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FilterError(
                f"more than {DEEPEST} parentheses and nots within each other",
                place=place,
                remedy="write it flatter: in [...] stands for many or",
            )
        term = read()
        self._depth -= 1
        return term

    def _leaf(self) -> Term:
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise FilterError(
                f"more than {MOST_TERMS} comparisons",
                place=self._next.place,
                remedy="use in [...] for several values of one attribute",
            )
        if self._takes("word", "has"):
            return Has(self._attribute(), self._tokens[self._at - 1].place)
        place = self._next.place
        name = self._attribute()
        if self._takes("word", "not"):
            if not self._takes("word", "in"):
                raise self._unexpected("in after not")
            return _without(name, Among(name, self._list(), place))
        if self._takes("word", "in"):
            return Among(name, self._list(), place)
        sign = self._next
        if sign.text in _INSTEAD:
            raise FilterError(
                f"{sign.text} is no sign here", place=sign.place, remedy=f"write {_INSTEAD[sign.text]}"
            )
        if sign.kind != "sign" or sign.text not in _SIGNS:
            raise self._unexpected(f"one of {' '.join(_SIGNS)} or in after {name}")
        self._take()
        value = self._value()
        if isinstance(value, bool) and sign.text not in ("=", "!="):
            raise FilterError(
                f"{sign.text} with true or false", place=sign.place, remedy="compare with = or !="
            )
        if sign.text == "!=":
            return _without(name, Compare(name, "=", value, place))
        return Compare(name, sign.text, value, place)

    def _attribute(self) -> str:
        token = self._next
        if token.kind not in ("name", "quoted"):
            raise self._unexpected("the name of an attribute")
        self._take()
        return token.text.strip("`")

    def _list(self) -> tuple[Scalar, ...]:
        opened = self._next
        if not self._takes("sign", "["):
            raise self._unexpected("a list in brackets")
        values = [self._value()]
        while self._takes("sign", ","):
            values.append(self._value())
        if not self._takes("sign", "]"):
            raise self._unexpected(f", or the bracket of character {opened.place} to close")
        self._values += len(values)
        if self._values > MOST_VALUES:
            raise FilterError(
                f"more than {MOST_VALUES:,} values in lists", place=opened.place, remedy="name fewer"
            )
        return tuple(values)

    def _value(self) -> Scalar:
        token = self._next
        if token.kind == "text":
            self._take()
            return _unquoted(token)
        if token.kind == "number":
            self._take()
            return _number(token)
        if token.kind == "word" and token.text in ("true", "false"):
            self._take()
            return token.text == "true"
        if token.kind == "word" and token.text == "null":
            raise FilterError(
                "nothing is equal to null",
                place=token.place,
                remedy="write has attribute, or not has attribute",
            )
        if token.kind == "name":
            raise FilterError(
                f"{token.text} is no value",
                place=token.place,
                remedy=f"put texts in quotes: {json.dumps(token.text)}",
            )
        raise self._unexpected("a text in quotes, a number, true or false")

    def _unexpected(self, wanted: str) -> FilterError:
        token = self._next
        if token.kind == "sign" and token.text in "+-*/%^":
            return FilterError(
                f"{token.text}: there is no arithmetic in filters",
                place=token.place,
                remedy="compare an attribute with a value, worked out beforehand",
            )
        what = "the expression ends" if token.kind == "end" else f"there is {token.text[:40]}"
        return FilterError(f"{what} where we expect {wanted}", place=token.place, remedy=_EXAMPLE)


def _without(name: str, term: Term) -> Term:
    """Known, and not ``term``: what ``!=`` and ``not in`` say."""
    return Every((Has(name, term.place if isinstance(term, Compare | Among) else 1), Not(term)))


def _number(token: _Token) -> float:
    value = float(token.text)
    if not math.isfinite(value):
        raise FilterError(
            f"{token.text[:40]} is too large for a number", place=token.place, remedy="stay below 1e308"
        )
    return value


def _unquoted(token: _Token) -> str:
    def meant(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise FilterError(
                f"\\{escape} in a text means nothing",
                place=token.place + 1 + match.start(),
                remedy="write \\\\ for a backslash",
            )
        return _ESCAPES[escape]

    text = _ESCAPE.sub(meant, token.text[1:-1])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
