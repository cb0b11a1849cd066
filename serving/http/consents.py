"""The HTTP contract of consents: what a person says on purposes, and what is answered to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, StrictBool, create_model

from serving.http.schemas import Body
from tailorbird.privacy.policy.policy import Policy
from tailorbird.privacy.policy.tcf import LONGEST
from tailorbird.privacy.policy.words import Said


class ConsentTold(Body):
    """What a person says now; purposes that are not named stay as they were."""

    purposes: dict[str, StrictBool] = Field(default={}, max_length=64)
    tcf: str = Field(
        default="",
        max_length=LONGEST,
        description="A TC string of version 2, for purposes that are not named: `privacy.toml` says which numbers make which.",
    )
    version: str = Field(default="", max_length=256, description="Of the text that the person was shown.")
    source: str = Field(
        default="", max_length=256, description="Where it was said: a banner, a page, a call."
    )
    proof: str = Field(default="", max_length=4_096, description="Kept sealed under the person's own key.")

    def said_by(self, named: Mapping[str, Sequence[int]]) -> Said:
        """As the platform keeps it. Raises UsageError for a TC string that is none, or of which nobody said what it means."""
        said = Said(self.purposes, self.version, self.source, self.proof)
        return said.with_tcf(self.tcf, named) if self.tcf else said


class ObjectionTold(Body):
    """To which purposes a person objects, whatever the legal basis."""

    purposes: list[str] = Field(min_length=1, max_length=64)
    reason: str = Field(default="", max_length=4_096, description="Kept sealed under the person's own key.")

    @property
    def said(self) -> Said:
        """As the platform keeps it."""
        return Said.objection(self.purposes, reason=self.reason)


class RestrictionTold(Body):
    """Whether what is known of a person is kept and used for nothing."""

    restricted: StrictBool
    reason: str = Field(default="", max_length=4_096, description="Kept sealed under the person's own key.")

    @property
    def said(self) -> Said:
        """As the platform keeps it."""
        return Said.restriction(self.restricted, reason=self.reason)


class Consented(Body):
    """What was said; it is on disk."""

    user_id: str
    purposes: dict[str, bool]
    profile_delayed: bool = Field(
        default=False, description="Stored; the live profile follows when the feature store is back."
    )


class _Named(Body):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})


def told_in(policy: Policy) -> type[Body]:
    """What a workspace takes as a ConsentTold, for its description: the purposes it knows, and TC strings where it reads them."""
    names: dict[str, Any] = {
        name: (StrictBool, Field(default=False, alias=name)) for name in sorted(policy.purposes)
    }
    named = create_model("PurposesTold", __base__=_Named, **names)
    left_out = {"purposes"} if policy.tcf else {"purposes", "tcf"}
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in ConsentTold.model_fields.items()
        if name not in left_out
    }
    return create_model("ConsentTold", __base__=Body, purposes=(named, ...), **fields)
