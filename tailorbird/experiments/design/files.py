"""Where experiments are declared: ``experiments/KEY.toml`` in a workspace's folder, read as values."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from tailorbird.errors import UsageError
from tailorbird.experiments.declared import NAME

FOLDER = "experiments"
REMEDY = "see docs/experiments-launch.md for the keys; nothing was changed"
_is_key = TypeAdapter(Annotated[str, Field(pattern=NAME)])


def file_of(folder: Path, key: str) -> Path:
    """Where the experiment ``key`` is declared in a workspace's folder. Raises UsageError where it can be no key."""
    try:
        _is_key.validate_python(key)
    except ValidationError as error:
        raise UsageError(
            f"{key!r} is no key of an experiment",
            remedy="use small letters, digits, - and _, a letter first, 63 at most",
        ) from error
    return folder / FOLDER / f"{key}.toml"


def declared_keys(folder: Path) -> list[str]:
    """The experiments that are declared in a workspace's folder."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.toml"))


def read_values(folder: Path, key: str) -> dict[str, Any]:
    """What stands in ``experiments/KEY.toml``. Raises UsageError where it cannot be read."""
    path = file_of(folder, key)
    try:
        return values_of(path.read_text("utf-8"), where=str(path))
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no experiment {key!r}: {path} is missing",
            remedy=f"`tailorbird experiment new {key}` writes one to fill in",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=REMEDY) from error


def values_of(text: str, *, where: str) -> dict[str, Any]:
    """A parsed declaration. Raises UsageError where it is no TOML."""
    try:
        return tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # beside slips numbers of thousands of digits, and brackets as deep
        raise UsageError(f"{where} cannot be read: {error}", remedy=REMEDY) from error
