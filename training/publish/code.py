"""Which code makes a model: its digest tells a model of today's code from one that an older version left."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tailorbird import __version__

HOUSE = Path(__file__).parents[2]
MAKERS = (
    *("tailorbird/bundle", "tailorbird/catalog", "tailorbird/evaluation", "tailorbird/events"),
    *("tailorbird/features", "tailorbird/models", "tailorbird/recipes", "tailorbird/slate"),
    *("feature_repo", "training/data", "training/evaluation", "training/fit", "training/publish"),
)
"""The folders whose code decides what a model is and how good it is said to be."""


@cache
def model_code() -> str:
    """The package's version and a digest of the code that makes models: the same code on any machine has the same."""
    return f"{__version__}+{source_digest([HOUSE / folder for folder in MAKERS])}"


def source_digest(folders: Sequence[Path]) -> str:
    """12 hex digits that change with any Python or TOML file in ``folders``, its content or its name."""
    digest = hashlib.sha256()
    for folder in folders:
        files = (path for path in folder.rglob("*") if path.suffix in (".py", ".toml"))
        for path in sorted(files, key=lambda path: path.relative_to(folder).as_posix()):
            content = path.read_bytes()
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:12]
