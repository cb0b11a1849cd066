"""The doctor's look at the written rules: the file, and keys that learned segments have, too."""

from collections.abc import Sequence

from serving.segments.live import LiveSegments
from tailorbird.doctor.finding import Finding
from tailorbird.errors import UsageError
from tailorbird.segments.rules.rules import RULES_FILE, read_rules
from tailorbird.settings import Settings

SECTION = "rules"


def check_rules(settings: Settings) -> Sequence[Finding]:
    """Whether the file is right, and whether its keys are its own. Opens the promoted segment model where there are rules."""
    path = settings.folder / RULES_FILE
    try:
        rules = read_rules(path)
    except UsageError as error:
        return [Finding(SECTION, str(path), "broken", error.what, error.remedy)]
    if not rules.rules:
        return [Finding(SECTION, str(path), "ok", "no rule is written")]
    facts = {"rules": len(rules.rules)}
    segments = LiveSegments(settings)
    segments.check()
    if shared := rules.shared_with(segments.keys):
        return [Finding(SECTION, str(path), "warning", shared, "give the rule another key", facts)]
    return [Finding(SECTION, str(path), "ok", f"written: {', '.join(rules.keys)}", facts=facts)]
