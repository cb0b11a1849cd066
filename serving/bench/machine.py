"""What a figure was measured on."""

import os
import platform


def machine() -> dict[str, object]:
    """The processor count and the names of the system and of Python."""
    return {"cpus": os.cpu_count(), "machine": platform.platform(), "python": platform.python_version()}
