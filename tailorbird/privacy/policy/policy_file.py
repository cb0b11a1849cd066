"""The policy of a workspace, followed live: read again when its own file changes, or the machine's."""

from collections.abc import Callable
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.plumbing.looked import LOOK_SECONDS, LookedFile
from tailorbird.privacy.policy.policy import POLICY_FILE, Policy, read_policy
from tailorbird.settings import Settings


class PolicyFile:
    """Call it for the policy that holds now; a wrong file leaves the one of before, and ``trouble`` says so.

    Raises:
        UsageError: the file is wrong from the beginning.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._paths = [
            settings.folder / POLICY_FILE,
            *([Path(settings.privacy)] if settings.privacy else []),
        ]
        self._files = [LookedFile(path, clock=clock) for path in self._paths]
        self._trouble = ""
        self._stale, self._bare, self._tried = False, False, float("-inf")
        self._changed()
        self._policy, self._full = read_policy(settings), self._having()

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
        """At most once a second; what changed is read until that succeeds."""
        self._stale |= self._changed()
        now = self._clock()
        if not self._stale or 0 <= now - self._tried < LOOK_SECONDS:
            return
        self._tried = now
        try:
            if self._is_bare():
                return
            self._policy, self._trouble, self._stale = read_policy(self._settings), "", False
            self._full = self._having()
        except (UsageError, OSError) as error:
            self._trouble = str(error)

    def _is_bare(self) -> bool:
        """Whether a file lost all it had, as if somebody were just writing it: nothing holds only once there still is nothing at the next look."""
        lost = self._full - self._having()
        self._bare = bool(lost) and not self._bare
        if self._bare:
            self._trouble = f"{min(lost)} has nothing in it any more: the policy of before holds until that is so for a second"
        return self._bare

    def _having(self) -> set[Path]:
        """The files that have something in them."""
        return {path for path in self._paths if path.exists() and path.stat().st_size}

    def _changed(self) -> bool:
        changed = False
        for file in self._files:  # each is looked at
            try:
                changed |= file.changed()
            except OSError as error:
                self._trouble, changed = str(error), True
        return changed
