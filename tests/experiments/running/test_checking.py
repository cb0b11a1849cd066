"""What is looked at before a start: a variant that would answer as the champion does is named."""

from typing import Any

import pytest

from tailorbird.experiments.running.checking import Known, of_platform
from tests.experiments.running.test_assigning import entry

KNOWN = Known(
    versions=lambda asked: asked, aliases=lambda: {"champion": "7", "next": "7", "other": "8"}, segments=list
)
NOTHING = "nothing would differ"


@pytest.mark.parametrize(
    ("control", "variant", "named"),
    [
        ({}, {"version": "7"}, "variant 'b' answers by version 7, the champion already, as 'control' does"),
        ({}, {"alias": "next"}, "variant 'b' answers by version 7, the champion already, as 'control' does"),
        ({"version": "8"}, {"alias": "other"}, "variant 'b' answers by version 8, as 'control' does"),
        ({}, {"version": "8"}, ""),
        ({"version": "8"}, {"version": "7"}, ""),
        ({}, {"version": "7", "slate": {"depth": 30}}, ""),
        ({}, {"version": "7", "payload": {"x": 1}}, ""),
    ],
)
def test_a_variant_that_answers_as_control_does_is_named(
    control: dict[str, Any], variant: dict[str, Any], named: str
) -> None:
    found = of_platform(entry("a", variants={"control": control, "b": variant}).experiment, KNOWN)
    words = [each.words for each in found if NOTHING in each.words]
    assert words == ([f"{named}: {NOTHING}"] if named else [])
    assert all(each.level == "warning" for each in found)


def test_where_no_version_is_known_nothing_is_said_of_it() -> None:
    nothing = Known(versions=lambda asked: asked, aliases=dict, segments=list)
    experiment = entry("a", variants={"control": {}, "b": {"alias": "next"}}).experiment
    assert [each.words for each in of_platform(experiment, nothing) if NOTHING in each.words] == []
