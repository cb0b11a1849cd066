"""What the registry holds, in the words of the admin application: versions, cards, decisions."""

import datetime as dt
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from registry.promotion.aliases import Aliases
from registry.promotion.decisions import Decision
from registry.versions.versions import Registered, Registry
from serving.admin.schemas import DecisionOut, Decisions, Model, ModelCard, Models
from serving.http.problems import ProblemError, shown
from tailorbird.bundle.manifest import BundleError, Manifest

MOST = 1_000
"""Versions or decisions of one answer at most."""


def list_models(registry: Registry) -> Models:
    """Every version with its figures and the aliases that point at it, the newest first."""
    found = registry.client.search_model_versions(f"name = '{registry.name}'", max_results=MOST)
    aliases = registry.aliases()
    models = [_model(each, aliases=aliases) for each in found]
    return Models(name=registry.name, models=sorted(models, key=lambda model: -model.version))


def show_model(registry: Registry, which: str) -> ModelCard:
    """One version: its card, what its bundle says of itself, and its decisions. ``which`` is a number, alias or latest."""
    registered = registry.version(which)
    found = registry.client.get_model_version(registry.name, str(registered.version))
    brief = _model(found, aliases=registry.aliases())
    return ModelCard(
        **brief.model_dump(),
        run_id=registered.run_id,
        card=found.description or "",
        manifest=_manifest(registered),
        decisions=[
            _decision(each) for each in Aliases(registry).history() if each.version == registered.version
        ],
    )


def list_decisions(registry: Registry, *, alias: str, limit: int) -> Decisions:
    """The latest moves, of one alias or (``alias`` "") of all, the newest first."""
    found = Aliases(registry).history(alias or None)[:limit]
    return Decisions(decisions=[_decision(each) for each in found])


def require_model(name: str) -> str:
    """A number, ``latest`` or an alias; anything else is no model."""
    if not name or len(name) > 63 or not all(c.isalnum() or c in "_-" for c in name):
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "not-found", f"no model {shown(name)}", remedy="name a version or an alias"
        )
    return name


def _model(found: Any, *, aliases: Mapping[str, int]) -> Model:
    tags = dict(found.tags or {})
    number = int(found.version)
    figures = {}
    for name in ("ndcg_at_10", "cases"):
        first = str(tags.get(name, "")).partition(" ")[0]
        if first.replace(".", "", 1).isdigit():
            figures[name] = float(first)
    return Model(
        version=number,
        aliases=sorted(alias for alias, version in aliases.items() if version == number),
        recipe=tags.get("recipe", ""),
        created=dt.datetime.fromtimestamp(found.creation_timestamp / 1000, dt.UTC),
        figures=figures,
        tags=tags,
    )


def _manifest(registered: Registered) -> dict[str, Any]:
    try:
        manifest = Manifest.read(registered.folder)
    except BundleError as error:
        return {"problem": str(error)}
    raw: dict[str, Any] = json.loads(manifest.to_json())
    return raw


def _decision(made: Decision) -> DecisionOut:
    return DecisionOut.model_validate(made.to_dict())
