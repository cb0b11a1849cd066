"""Which checks there are, in the order of their sections. Each room owns its own; they are named here by string (see cli.py)."""

import importlib
import sys
import threading
import time
from collections.abc import Collection, Sequence

from tailorbird.doctor.finding import Check, Finding
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings

SECTIONS = {
    "workspace": "tailorbird.doctor.machine:check_workspace",
    "catalogue": "tailorbird.doctor.catalogue:check_catalogue",
    "people": "tailorbird.privacy.health:check_people",
    "events": "tailorbird.streams.health:check_streams",
    "online store": "feature_repo.health:check_online",
    "registry": "registry.health:check_registry",
    "studies": "training.tuning.health:check_studies",
    "storage": "tailorbird.doctor.storage:check_storage",
    "ray": "training.tuning.health:check_ray",
    "serving": "serving.health:check_port",
    "encryption": "tailorbird.access.health:check_encryption",
    "rules": "serving.segments.health:check_rules",
    "triggers": "tailorbird.triggers.health:check_triggers",
    "privacy": "tailorbird.privacy.health:check_privacy",
    "disk": "tailorbird.doctor.machine:check_disk",
    "extras": "tailorbird.doctor.machine:check_extras",
}


def examine(settings: Settings, *, seconds: float, sections: Collection[str] | None = None) -> list[Finding]:
    """Run the checks of ``sections`` (None: all) side by side; one that is silent for ``seconds`` is broken and left to itself.

    A check's module may have ``prepare(settings)``, which loads a client that takes seconds: before the clock begins.
    """
    chosen = SECTIONS if sections is None else sections
    checks = {section: imported(place) for section, place in SECTIONS.items() if section in chosen}
    for check in checks.values():
        prepare = getattr(sys.modules[check.__module__], "prepare", None)
        if prepare is not None:
            prepare(settings)
    answers: dict[str, Sequence[Finding]] = {}

    def ask(section: str, check: Check) -> None:
        answers[section] = _asked(section, check, settings)

    threads = {
        section: threading.Thread(target=ask, args=(section, check), daemon=True)
        for section, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + seconds
    found: list[Finding] = []
    for section, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        found += answers.get(section) or [_silent(section, seconds)]
    return found


def imported(place: str) -> Check:
    """The function at ``module:name``."""
    module, name = place.split(":")
    check: Check = getattr(importlib.import_module(module), name)
    return check


def _asked(section: str, check: Check, settings: Settings) -> Sequence[Finding]:
    try:
        return check(settings)
    except TailorbirdError as error:
        return [Finding(section, "", "broken", error.what, error.remedy)]
    except (
        Exception
    ) as error:  # clients of engines raise what they like; one sick engine must not hide the others
        return [Finding(section, "", "broken", f"{type(error).__name__}: {error}")]


def _silent(section: str, seconds: float) -> Finding:
    return Finding(
        section,
        "",
        "broken",
        f"no answer within {seconds:g} s",
        remedy="look whether the address is right and the network lets it through; --seconds waits longer",
    )
