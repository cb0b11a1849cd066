"""The admin application's route of segments: which there are, in words and numbers."""

from fastapi import FastAPI
from pydantic import Field

from serving.http.schemas import Body, ModelName
from serving.segments.live import LiveSegments
from tailorbird.segments.model import Segment


class SegmentOut(Body):
    """One learned segment."""

    key: str = Field(description="Names it for programs.")
    name: str
    words: list[str]
    share: float = Field(description="Its part of everybody when the model was fitted.")
    precision: float = Field(description="Of those of whom the words hold, the part that is in it.")
    recall: float = Field(description="Of those who are in it, the part of whom the words hold.")
    traits: dict[str, float] = Field(
        description="What sets it apart, in standard deviations from everybody's mean."
    )

    @classmethod
    def of(cls, segment: Segment) -> "SegmentOut":
        """A segment as JSON has it."""
        return cls(
            key=segment.key,
            name=segment.name,
            words=list(segment.words),
            share=round(segment.share, 4),
            precision=round(segment.precision, 4),
            recall=round(segment.recall, 4),
            traits=dict(segment.traits),
        )


class SegmentsOut(Body):
    """The segments that people are in now; none while no segment model is promoted."""

    model: ModelName
    method: str = Field(description="How they were found.")
    segments: list[SegmentOut]
    problem: str = Field(
        description='Why another model serves than the promoted one, or none; "" for nothing.'
    )


def segment_routes(app: FastAPI, segments: LiveSegments, *, name: str) -> None:
    """Add the route; ``name`` is the registered model's."""

    @app.get("/v1/segments", tags=["people"])
    def show() -> SegmentsOut:
        """The learned segments, the largest first."""
        promoted, problem = segments(), segments.trouble
        if promoted is None:
            return SegmentsOut(
                model=ModelName(name=name, version=""), method="", segments=[], problem=problem
            )
        found = sorted(promoted.model.segments, key=lambda segment: -segment.share)
        return SegmentsOut(
            model=ModelName(name=name, version=promoted.version),
            method=promoted.model.method,
            segments=[SegmentOut.of(segment) for segment in found],
            problem=problem,
        )
