"""One progress bar for a fit: its stage, its epochs, its figures."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tailorbird.models.hybrid.fit import Progress
from tailorbird.plumbing.terminal import Step, progress

WORDS = {
    "": "preparing",
    "popularity": "popularity",
    "cooccurrence": "co-occurrence",
    "content": "content",
    "sequence": "sequence network",
    "ranker": "ranker",
    "refit": "sources on all its events",
    "measure": "asking the test cases",
    "all events": "learning from all events",
}


class Steps:
    """Shows what a fit reports. ``cases`` is how many questions measuring will ask."""

    def __init__(self, *, cases: int) -> None:
        self._cases = cases
        self._stack = ExitStack()
        self._bar: Step | None = None
        self._stage = ""
        self._at = 0

    def __enter__(self) -> Self:
        self._bar = self._stack.enter_context(progress(WORDS[""]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def show(self, news: Progress) -> None:
        """Move the bar to the step that was done."""
        if self._bar is None:
            return
        if news.stage != self._stage or news.step < self._at:
            self._stage, self._at = news.stage, 0
            self._bar.restart(
                description=WORDS.get(news.stage, news.stage),
                total=self._cases if news.stage == "measure" else news.total or None,
            )
        if news.step > self._at:
            self._bar.update(total=news.total, figures=_figures(news))
            self._bar.advance(news.step - self._at)
            self._at = news.step

    def advance(self, questions: int) -> None:
        """Count questions that were asked."""
        if self._bar is not None:
            self._bar.advance(questions)


def _figures(news: Progress) -> str:
    return "  ".join(f"{name.split('_at_')[0]} {value:.3f}" for name, value in news.figures.items())
