"""The keys that hold now: the workspace's file, looked at once a second and never read for a request."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tailorbird.access.file import read_keys
from tailorbird.access.keys import Key, Secret
from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LookedFile


class KeyRing:
    """Knows the keys by their ids.

    Doors that were closed once never open by themselves: a file that vanishes, is damaged or cannot be read leaves them
    closed, with the keys of before where it is damaged and with none where it is gone.
    """

    def __init__(self, path: Path, *, workspace: str, closed: bool, clock: Callable[[], float]) -> None:
        self.workspace = workspace
        self._path, self._file = path, LookedFile(path, clock=clock)
        self._keys: Mapping[str, Key] = {}
        self.known: dict[bytes, tuple[Key, Secret]] = {}
        """Keys and secrets by the hashes of tokens that were found right, until the file changes."""
        self._closed, self._trouble = closed, ""

    @property
    def closed(self) -> bool:
        """Whether a caller needs a key."""
        self._look()
        return self._closed

    @property
    def trouble(self) -> str:
        """What is wrong with the file; "" for nothing."""
        self._look()
        return self._trouble

    def get(self, identity: str) -> Key | None:
        """The key of this id."""
        return self._keys.get(identity)

    def _look(self) -> None:
        """At most once a second."""
        try:
            if not self._file.changed():
                return
        except OSError as error:
            self._closed, self._trouble = True, f"{self._path} cannot be read: {error}"
            return
        self._closed = self._closed or self._file.exists
        try:
            self.known = {}
            self._keys, self._trouble = {key.id: key for key in read_keys(self._path) or ()}, ""
        except UsageError as error:
            self._trouble = str(error)
