"""What a figure was measured on."""

import os
import platform
import re
import resource
import time
from pathlib import Path


def machine() -> dict[str, object]:
    """The processor count and the names of the system and of Python."""
    return {"cpus": os.cpu_count(), "machine": platform.platform(), "python": platform.python_version()}


def memory_mb(pid: int) -> dict[str, float]:
    """Megabytes that a process holds: all of it (``rss``), and with what it shares divided among those who share it (``pss``).

    Empty where the system does not say.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    except OSError:
        return {}
    found = {
        name.lower(): int(kb) / 1000 for name, kb in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE)
    }
    return {name: round(found[name], 1) for name in ("rss", "pss") if name in found}


def own_peak_mb() -> float:
    """The most megabytes that this program has held since it was started; what its parent held does not count. 0 where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1000 if found else 0.0


class Steps:
    """How long each step of some work took; call it with the name of the step that begins."""

    def __init__(self) -> None:
        self._name, self._since = "starting", time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> None:
        """The step before has ended."""
        now = time.perf_counter()
        self.seconds[self._name] = round(self.seconds.get(self._name, 0.0) + now - self._since, 1)
        self._name, self._since = name, now

    @property
    def peak_mb(self) -> float:
        """The most megabytes that this process has held."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
