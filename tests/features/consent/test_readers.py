"""Whoever reads a stream says for which purpose, and reads it through the door that asks everybody's words."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from tailorbird.features.consent.consents import PURPOSES
from tailorbird.features.consent.readers import READERS, Reading

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("tailorbird", "feature_repo", "registry", "training", "serving", "console")
SCANS = "scan"
"""Of a stream that somebody else opened, too."""
RAW = {SCANS, "read_log", "open_events", "open_exposures"}
DOOR = {"scan_for", "exposures_for"}
MEASURED = ("serving.bench", "training.benchmarks")
"""They measure on worlds that they make."""


def readers() -> dict[str, set[str]]:
    """By module what it imports to read streams with."""
    found: dict[str, set[str]] = {}
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module.startswith(("tailorbird.streams.", *MEASURED)):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {alias.name for alias in node.names} & (RAW | DOOR)
                if names and node.module.startswith(
                    ("tailorbird.streams", "tailorbird.features.consent.purposes")
                ):
                    found.setdefault(module, set()).update(names)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == SCANS
            ):
                found.setdefault(module, set()).add(SCANS)
    return found


def trouble(found: Mapping[str, set[str]], listed: Mapping[str, Reading]) -> list[str]:
    told = [
        f"{module} reads {sorted(names)} and is not in READERS"
        for module, names in found.items()
        if module not in listed
    ]
    told += [f"{module} is in READERS and reads nothing" for module in listed if module not in found]
    for module, (purpose, besides) in listed.items():
        names = found.get(module, set())
        if purpose is not None and purpose not in PURPOSES:
            told.append(f"{module} serves {purpose!r}")
        if purpose is None and names & DOOR:
            told.append(f"{module} reads for a purpose and names none")
        if names & RAW and not besides:
            told.append(f"{module} goes past the door without a reason")
    return told


def test_every_reader_of_streams_declares_its_purpose() -> None:
    assert trouble(readers(), READERS) == []


@pytest.mark.parametrize(
    ("module", "names", "listed", "what"),
    [
        ("serving.new", {"scan"}, {}, "is not in READERS"),
        ("serving.new", {"scan_for"}, {"serving.new": Reading(besides="keeps")}, "names none"),
        ("serving.new", {"open_exposures"}, {"serving.new": Reading("analytics")}, "past the door"),
        ("serving.new", {"scan_for"}, {"serving.new": Reading("fun")}, "serves 'fun'"),
    ],
)
def test_a_reader_that_declares_none_or_goes_past_the_door_is_found(
    module: str, names: set[str], listed: dict[str, Reading], what: str
) -> None:
    (told,) = trouble({module: names}, listed)
    assert what in told
