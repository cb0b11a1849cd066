"""A process that delivers, for tests that kill it: ``python -m tests.serving.triggers.child HOME ORIGIN``."""

import random
import sys
import threading

from serving.triggers.deliverer import Deliverer
from tailorbird.settings import load_settings
from tailorbird.triggers.pace import Backoff


def main(home: str, origin: str) -> None:
    settings = load_settings(home=home, workspace="test", trigger_origins=origin)
    backoff = Backoff(first_seconds=0.02, longest_seconds=0.1)
    Deliverer(
        settings, stop=threading.Event(), backoff=backoff, rng=random.Random(1), look_seconds=0.01
    ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
