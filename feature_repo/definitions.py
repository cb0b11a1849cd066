"""The Feast definitions, generated from the one feature table: entities, sources, views, the feature service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bytes, FeastType, Float32, Float64, Int64, String

from feature_repo.layout import ITEM_VIEW, USER_VIEW, offline_folder
from tailorbird.features.table import (
    SEGMENT_FEATURES,
    STORED_ITEM,
    STORED_USER,
    USER_FEATURES,
    Dtype,
    Feature,
)

USER_KEY = "user_key"
ITEM_KEY = "item_id"

_TYPES: Mapping[Dtype, FeastType] = {
    "float32": Float32,
    "float64": Float64,
    "int64": Int64,
    "string": String,
    "bytes": Bytes,
    "float64s": Array(Float64),
    "int64s": Array(Int64),
}


@dataclass(frozen=True)
class Definitions:
    """Everything that ``feast apply`` registers."""

    user: Entity
    item: Entity
    user_profile: FeatureView
    item_profile: FeatureView
    service: FeatureService

    def all(self) -> list[Any]:
        """In the order that Feast wants them."""
        return [self.user, self.item, self.user_profile, self.item_profile, self.service]


def definitions(folder: Path) -> Definitions:
    """Generate the definitions of a workspace whose feature folder is ``folder``."""
    user = Entity(
        name="user",
        join_keys=[USER_KEY],
        value_type=ValueType.STRING,
        description="A person, known or anonymous.",
    )
    item = Entity(
        name="item",
        join_keys=[ITEM_KEY],
        value_type=ValueType.STRING,
        description="Something to recommend.",
    )
    user_profile = _view(folder, USER_VIEW, user, STORED_USER)
    item_profile = _view(folder, ITEM_VIEW, item, STORED_ITEM)
    service = FeatureService(
        name="recommend",
        features=[user_profile],
        description="What a recommendation reads: one user's row.",
        # Feast's on-demand views would put pickled code into the registry: derived features stay plain functions.
        tags={"derived_by": "tailorbird.features", "derived": " ".join(USER_FEATURES + SEGMENT_FEATURES)},
    )
    return Definitions(user, item, user_profile, item_profile, service)


def _view(folder: Path, name: str, entity: Entity, features: tuple[Feature, ...]) -> FeatureView:
    source = FileSource(
        name=f"{name}_rows",
        path=str(offline_folder(folder, name)),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(0),  # a profile does not expire: its sums decay by themselves
        schema=_fields(features),
        source=source,
        online=True,
    )


def _fields(features: tuple[Feature, ...]) -> list[Field]:
    return [
        Field(name=feature.name, dtype=_TYPES[feature.dtype], description=feature.description)
        for feature in features
    ]
