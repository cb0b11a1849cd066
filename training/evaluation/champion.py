"""Asking a champion the cases of a candidate that was measured later."""

import pandas as pd

from registry.promote import Ask
from registry.versions import Registered
from tailorbird.bundle import BundleError
from tailorbird.plumbing.terminal import say
from tailorbird.settings import Settings
from training.data.training_set import training_set
from training.evaluation.evaluate import evaluate


def asker(settings: Settings) -> Ask:
    """Ask over the workspace's events; a champion that does not open answers nothing, so the gate refuses."""

    def ask(champion: Registered, cases: pd.DataFrame) -> pd.DataFrame:
        say("the champion was measured on other cases: asking it the candidate's")
        try:
            bundle = champion.open()
        except BundleError as error:
            say(f"the champion does not open: {error.what}")
            return cases.head(0)
        found = evaluate(
            bundle, training_set(settings), settings=settings, least=1, only=cases["case"].to_numpy()
        )
        return cases.head(0) if found.measured is None else found.measured.cases

    return ask
