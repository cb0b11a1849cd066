"""The registry as admin reaches it: opened for the first who asks, and asked beforehand whether it is there at all."""

import threading

from registry.following.pointers import open_pointers
from registry.versions.versions import Registry
from tailorbird.settings import Settings


class RegistryReach:
    """Call it for the workspace's registry; one is opened and kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pointers = open_pointers(settings)
        self._opening = threading.Lock()
        self._opened: Registry | None = None

    def __call__(self) -> Registry:
        """The registry.

        Raises:
            RegistryAwayError: it cannot be asked at present.
        """
        self._pointers.aliases()
        with self._opening:  # importing MLflow takes seconds: the others wait for the first
            if self._opened is None:
                self._opened = Registry(self.settings)
            return self._opened
