"""A workspace's ``privacy.toml``: what is done with texts that may be personal, and which are declared not to be."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailorbird.errors import UsageError
from tailorbird.privacy.minimise import NOTHING_DECLARED, Declared

POLICY_FILE = "privacy.toml"
Texts = Literal["seal", "drop"]


class _Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    personal: Texts = "seal"
    context: list[str] = Field(default=[], max_length=256)
    properties: list[str] = Field(default=[], max_length=256)
    users: list[str] = Field(default=[], max_length=256)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: _Texts = _Texts()


@dataclass(frozen=True)
class Policy:
    """What a workspace decided. ``personal``: texts that may be personal are sealed under the person's key, or dropped."""

    personal: Texts = "seal"
    declared: Declared = NOTHING_DECLARED


DEFAULT = Policy()


def read_policy(folder: Path) -> Policy:
    """The policy of a workspace's folder; the default without a file. Raises UsageError on a wrong one."""
    path = folder / POLICY_FILE
    try:
        said = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return DEFAULT
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy="see docs/privacy.md") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise UsageError(f"{path}: {where}: {wrong['msg']}", remedy="see docs/privacy.md") from error
    texts = said.texts
    declared = Declared(frozenset(texts.context), frozenset(texts.properties), frozenset(texts.users))
    return Policy(texts.personal, declared)
