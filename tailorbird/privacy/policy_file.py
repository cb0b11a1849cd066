"""The policy of a workspace, followed live: read again when its own file changes, or the machine's."""

from collections.abc import Callable
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LookedFile
from tailorbird.privacy.policy import POLICY_FILE, Policy, read_policy
from tailorbird.settings import Settings


class PolicyFile:
    """Call it for the policy that holds now; a wrong file leaves the one of before, and ``trouble`` says so.

    Raises:
        UsageError: the file is wrong from the beginning.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._settings = settings
        paths = [settings.folder / POLICY_FILE, *([Path(settings.privacy)] if settings.privacy else [])]
        self._files = [LookedFile(path, clock=clock) for path in paths]
        self._changed()
        self._policy, self._trouble = read_policy(settings), ""

    def __call__(self) -> Policy:
        """What holds."""
        self._look()
        return self._policy

    @property
    def trouble(self) -> str:
        """What is wrong with a file; "" for nothing."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        """At most once a second."""
        try:
            if self._changed():
                self._policy, self._trouble = read_policy(self._settings), ""
        except (UsageError, OSError) as error:
            self._trouble = str(error)

    def _changed(self) -> bool:
        changed = [file.changed() for file in self._files]  # each is looked at
        return any(changed)
