"""What the registry holds, in the words of the admin application: versions, cards, decisions."""

import datetime as dt
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from registry.versions import Registered, Registry
from serving.admin.schemas import DecisionOut, Decisions, Model, ModelCard, Models
from serving.http.problems import ProblemError, shown
from tailorbird.bundle.manifest import BundleError, Manifest

MOST = 1_000
"""Versions or decisions of one answer at most."""


def list_models(registry: Registry) -> Models:
    """Every version with its figures and the aliases that point at it, the newest first."""
    found = registry.client.search_model_versions(f"name = '{registry.name}'", max_results=MOST)
    aliases = _aliases(registry)
    models = [_model(each, aliases=aliases) for each in found]
    return Models(name=registry.name, models=sorted(models, key=lambda model: -model.version))


def show_model(registry: Registry, which: str) -> ModelCard:
    """One version: its card, what its bundle says of itself, and its decisions. ``which`` is a number, alias or latest."""
    registered = registry.version(which)
    found = registry.client.get_model_version(registry.name, str(registered.version))
    brief = _model(found, aliases=_aliases(registry))
    return ModelCard(
        **brief.model_dump(),
        run_id=registered.run_id,
        card=found.description or "",
        manifest=_manifest(registered),
        decisions=_decisions(registered.version, registered.tags),
    )


def list_decisions(registry: Registry, *, alias: str, limit: int) -> Decisions:
    """The latest moves, of one alias or (``alias`` "") of all, the newest first."""
    found = registry.client.search_model_versions(f"name = '{registry.name}'", max_results=MOST)
    made = [each for version in found for each in _decisions(int(version.version), dict(version.tags or {}))]
    kept = [each for each in made if alias in ("", each.alias)]
    return Decisions(decisions=sorted(kept, key=lambda each: each.when, reverse=True)[:limit])


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


def _decisions(version: int, tags: Mapping[str, str]) -> list[DecisionOut]:
    return [
        DecisionOut(
            alias=key.removesuffix(".who"),
            version=version,
            before=None,
            who=who,
            when=tags.get(key.replace(".who", ".when"), ""),
            why=tags.get(key.replace(".who", ".why"), ""),
        )
        for key, who in tags.items()
        if key.endswith(".who")
    ]


def _aliases(registry: Registry) -> Mapping[str, int]:
    return registry._aliases()
