"""The doctor's look at serving's port: free, ours already, or somebody else's."""

import json
import socket
from collections.abc import Sequence

import httpx

from serving.proxy.keeper import bind
from tailorbird.access.certificate import known_by_its_certificate
from tailorbird.doctor.finding import Finding
from tailorbird.errors import UsageError
from tailorbird.plumbing.served import base_url
from tailorbird.settings import Settings

ANSWER_SECONDS = 3.0


def check_port(settings: Settings) -> Sequence[Finding]:
    """Whether `tailorbird serve` could listen, or does so already and is ready."""
    base = base_url(settings)
    try:
        bind(settings.host, settings.port).close()
    except UsageError as error:
        return [_taken(settings, base, error)]
    return [Finding("serving", base, "ok", "free; `tailorbird serve` listens there")]


def _taken(settings: Settings, base: str, error: UsageError) -> Finding:
    try:
        with socket.create_connection((settings.host, settings.port), timeout=ANSWER_SECONDS):
            pass
        answer = httpx.get(
            f"{base}/health/ready", timeout=ANSWER_SECONDS, verify=known_by_its_certificate(settings)
        )
        found = json.loads(answer.text)
        ours = isinstance(found, dict) and found.get("workspaceKey") == settings.workspace_key
    except (OSError, httpx.HTTPError, ValueError):
        ours = False
    if not ours:
        return Finding("serving", base, "broken", error.what, error.remedy)
    facts = {"ready": answer.status_code == httpx.codes.OK}
    if answer.status_code != httpx.codes.OK:
        says = f"serves this workspace and is not ready ({answer.status_code})"
        return Finding("serving", base, "warning", says, f"GET {base}/health/ready says why", facts)
    return Finding("serving", base, "ok", "serves this workspace", facts=facts)
