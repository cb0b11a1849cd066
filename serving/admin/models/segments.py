"""The admin application's route of segments: which there are, in words and numbers."""

from typing import Literal

from fastapi import FastAPI
from pydantic import Field

from serving.http.schemas import Body, ModelName
from serving.segments.live import LiveSegments
from tailorbird.segments.model import Segment
from tailorbird.segments.rules.file import RulesFile
from tailorbird.segments.rules.rules import SegmentRule


class SegmentOut(Body):
    """One segment, learned or written as a rule."""

    kind: Literal["learned", "rule"]
    key: str = Field(description="Names it for programs.")
    name: str
    when: str | None = Field(default=None, description="The expression of a rule.")
    words: list[str] = Field(default=[], description="Of a learned one.")
    share: float | None = Field(
        default=None, description="Its part of everybody when the model was fitted; null of a rule."
    )
    precision: float | None = Field(
        default=None, description="Of those of whom the words hold, the part that is in it; null of a rule."
    )
    recall: float | None = Field(
        default=None, description="Of those who are in it, the part of whom the words hold; null of a rule."
    )
    traits: dict[str, float] = Field(
        default={}, description="What sets it apart, in standard deviations from everybody's mean."
    )

    @classmethod
    def of(cls, segment: Segment) -> "SegmentOut":
        """A learned segment as JSON has it."""
        return cls(
            kind="learned",
            key=segment.key,
            name=segment.name,
            words=list(segment.words),
            share=round(segment.share, 4),
            precision=round(segment.precision, 4),
            recall=round(segment.recall, 4),
            traits=dict(segment.traits),
        )

    @classmethod
    def of_rule(cls, rule: SegmentRule) -> "SegmentOut":
        """A written rule as JSON has it."""
        return cls(kind="rule", key=rule.key, name=rule.name, when=rule.when)


class SegmentsOut(Body):
    """The segments that people are in now: the learned ones of the promoted segment model, and the rules of `rules.toml`."""

    model: ModelName
    method: str = Field(description="How they were found.")
    segments: list[SegmentOut]
    problem: str = Field(
        description='Why another model serves than the promoted one, or none, and what is wrong with the rules; "" for nothing.'
    )


def segment_routes(app: FastAPI, segments: LiveSegments, rules: RulesFile, *, name: str) -> None:
    """Add the route; ``name`` is the registered model's."""

    @app.get("/v1/segments", tags=["people"])
    def show() -> SegmentsOut:
        """The learned segments, the largest first, then the written rules."""
        promoted = segments()
        learned = sorted(promoted.model.segments, key=lambda each: -each.share) if promoted else []
        return SegmentsOut(
            model=ModelName(name=name, version=promoted.version if promoted else ""),
            method=promoted.model.method if promoted else "",
            segments=[
                *(SegmentOut.of(each) for each in learned),
                *(SegmentOut.of_rule(each) for each in rules().rules),
            ],
            problem="; ".join(
                filter(None, (segments.trouble, rules.trouble, rules().shared_with(segments.keys)))
            ),
        )
