"""The one error a user meets: what went wrong, the value, and the remedy."""


class TailorbirdError(Exception):
    """A failure the caller can mend.

    The message says what and the value; ``remedy`` says what to do next. The command line prints both and exits
    with ``exit_code``; the HTTP service turns it into problem details (RFC 9457).
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class UsageError(TailorbirdError):
    """The request itself is wrong: a bad option, path or value."""

    exit_code = 2
