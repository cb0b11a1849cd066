"""The cases a version was asked, kept with its run: those of its twin, and every later evaluation's beside them."""

import datetime as dt
import tempfile
import uuid
from pathlib import Path

import pandas as pd

from registry.following.pointers import RegistryError
from registry.tracking.runs import Run
from registry.versions.versions import Registered, Registry

CASES_FILE = "cases.parquet"
"""The artifact of a version's run that holds every case its twin was measured on."""
LATER = "cases"
"""The folder beside it: one file an evaluation, never rewritten, so that two evaluations at once both stay."""
COLUMNS = ("case", "user_id", "target", "rank")


class NoCasesError(RegistryError):
    """A version's run holds no cases, so nothing can be said of it."""


def cases_of(registry: Registry, version: Registered) -> pd.DataFrame:
    """Every case a version was asked, once each, with the rank of its target; of two answers the earlier counts.

    Raises:
        NoCasesError: its run has none, or they cannot be read.
    """
    run = Run(registry.client, version.run_id)
    names = [CASES_FILE, *sorted(name for name in run.files(LATER) if name.endswith(".parquet"))]
    try:
        with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
            parts = [pd.read_parquet(run.fetch(name, Path(scratch))) for name in names]
    except (OSError, ValueError) as error:
        raise NoCasesError(
            f"version {version.version} of {version.name} has no {CASES_FILE} in its run: {error}",
            remedy="only versions made by `tailorbird train` or `tailorbird tune` can be compared",
        ) from error
    return pd.concat([part[list(COLUMNS)] for part in parts]).drop_duplicates("case", ignore_index=True)


def add_cases(registry: Registry, version: Registered, cases: pd.DataFrame, *, now: dt.datetime) -> int:
    """Keep the cases of an evaluation with the version's run; how many of them it had not been asked before."""
    fresh = cases[~cases["case"].isin(cases_of(registry, version)["case"])]
    if len(fresh):
        with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
            path = Path(scratch) / f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.parquet"
            fresh.to_parquet(path, index=False)
            Run(registry.client, version.run_id).file(path, LATER)
    return len(fresh)
