"""Off-policy: what a version would have earned with our own answers, as its training has stored it, beside what these earned."""

import json

from registry.gates.finding import Finding
from registry.gates.gates import OffPolicy

GATE = "not worse by our own answers"
OFF_POLICY = "off_policy"
"""The tag of a version: of its twin the clicks per slate, their interval, what was logged; or why our answers cannot tell."""


def off_policy_finding(stored: str, *, rules: OffPolicy) -> Finding:
    """Refuse a version only where it is worse for sure: an answer that says nothing says nothing against it."""
    figures = json.loads(stored)
    if "value" not in figures:
        found = f"our own answers cannot tell: {figures.get('refusal') or 'there are none'}"
        return Finding(GATE, passed=True, found=found)
    least = (1 - rules.margin) * figures["logged"]
    worse = figures["high"] < least
    return Finding(
        GATE,
        passed=not worse,
        found=f"{figures['value']:.4g} [{figures['low']:.4g}, {figures['high']:.4g}] clicks per slate of {figures['slates']:,} "
        f"answers that earned {figures['logged']:.4g}; {least:.4g} must be possible",
        remedy="train another; --force --reason TEXT overrides" if worse else "",
        figures={name: float(value) for name, value in figures.items()},
    )
