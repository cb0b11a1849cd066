"""Who decides at this terminal."""

import getpass


def whoami() -> str:
    """The login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
