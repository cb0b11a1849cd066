"""Is the audit log still what was written? Every entry against its hash, its number and the entry before; the head against an anchor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tailorbird.audit.entry import BEGINNING, Entry, Head

MOST_FINDINGS = 100
_FAR = 1_000
"""How far from its place an entry is looked for."""

Kind = Literal["altered", "removed", "reordered", "truncated", "rewritten"]


@dataclass(frozen=True)
class Finding:
    """What is wrong with an entry."""

    number: int
    kind: Kind
    says: str


def verify(entries: Iterable[Entry], *, anchor: Head | None = None) -> tuple[Head, Sequence[Finding]]:
    """The head of what stands there, and what is wrong with it, the first hundred.

    Whoever can write the file can write it all anew, hashes too: that is found by an ``anchor`` alone, a head that was noted
    elsewhere before.
    """
    findings: list[Finding] = []
    head, anchored = Head(0, BEGINNING), anchor is None or anchor == Head(0, BEGINNING)
    for entry in entries:
        if len(findings) < MOST_FINDINGS:
            findings += _of_one(entry, head)
        head = Head(entry.number, entry.hash)
        anchored = anchored or head == anchor
    if anchor is not None and not anchored and len(findings) < MOST_FINDINGS:
        findings.append(_of_anchor(anchor, head))
    return head, findings


def _of_one(entry: Entry, before: Head) -> list[Finding]:
    """What is wrong with an entry that stands after ``before``."""
    found = []
    number, expected = entry.number, before.number + 1
    if number > expected:
        gone = f"entry {expected} is" if number == expected + 1 else f"entries {expected} to {number - 1} are"
        found.append(Finding(expected, "removed", f"{gone} gone"))
    if entry.digest != entry.hash:
        written = _written_as(entry)
        if written is None:
            found.append(Finding(number, "altered", f"entry {number} is not what was written"))
        else:
            found.append(
                Finding(
                    number,
                    "reordered",
                    f"in place of entry {number} stands what was written as entry {written}",
                )
            )
    elif number == expected and entry.previous != before.hash:
        says = f"entry {number} was not written after the entry {before.number} that stands before it"
        found.append(Finding(number, "rewritten", says))
    return found


def _written_as(entry: Entry) -> int | None:
    """The number under which an entry fits its hash, where another stands on it."""
    near = range(max(1, entry.number - _FAR), entry.number + _FAR + 1)
    return next((number for number in near if replace(entry, number=number).digest == entry.hash), None)


def _of_anchor(anchor: Head, head: Head) -> Finding:
    if head.number < anchor.number:
        missing = anchor.number - head.number
        return Finding(
            head.number + 1,
            "truncated",
            f"the log ends with entry {head.number}; the anchored head is entry {anchor.number}: {missing} cut off",
        )
    return Finding(
        anchor.number,
        "rewritten",
        f"entry {anchor.number} is not the anchored one: it or one before it was written anew, with all hashes after it",
    )
