"""The doctor's look at the object storage: whether it answers and whether we may list, write and delete there."""

import importlib.util
from collections.abc import Sequence

from tailorbird.doctor.finding import Finding
from tailorbird.plumbing.environment import s3_endpoint
from tailorbird.plumbing.objects import ObjectPath, file_system
from tailorbird.settings import Settings

PROBE = ".tailorbird-doctor"
"""An object that is written and deleted again: the one thing that a look changes."""


def check_storage(settings: Settings) -> Sequence[Finding]:
    """List the folder, write an object and delete it; without the setting there is nothing to look at."""
    if not settings.storage:
        return [Finding("storage", str(settings.folder), "ok", "folders of this machine; no object storage")]
    where = f"{settings.storage} at {s3_endpoint() or 'Amazon'}"
    files, probe = file_system(), (ObjectPath(settings.storage) / PROBE).key
    try:
        ObjectPath(settings.storage).exists()
        with files.open_output_stream(probe) as stream:
            stream.write(b"?")
        files.delete_file(probe)
    except OSError as error:
        remedy = (
            "set AWS_ENDPOINT_URL (if it is not Amazon's), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and allow "
            "these keys to list, get, put and delete in the bucket"
        )
        return [Finding("storage", where, "broken", f"cannot be used: {error}", remedy)]
    if importlib.util.find_spec("boto3") is None:
        says, remedy = "answers; bundles need boto3", "pip install 'tailorbird[s3]'"
        return [Finding("storage", where, "broken", says, remedy)]
    return [Finding("storage", where, "ok", "lists, takes and deletes objects")]
