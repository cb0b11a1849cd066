"""What runs at the moment: the arms and what every live replica serves for them, the streams and how far their readers are."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from feature_repo.store import FeatureStoreRoom
from registry.following.follower import Follower
from registry.following.pointers import RegistryError
from serving.admin.schemas import (
    ArmOut,
    ArmsOut,
    ReplicaArm,
    StreamOut,
    StreamsOut,
    TriggersOut,
    TriggerTarget,
)
from serving.heartbeat import Beat
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.arm import CHAMPION_ARM, Arm
from tailorbird.experiments.declared import ARMS_FILE, read_arms
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.position import Position
from tailorbird.triggers.state import state_of


def show_arms(settings: Settings, beats: Sequence[Beat]) -> ArmsOut:
    """Every declared arm, the version its alias points at, and what every live replica serves for it."""
    problems = []
    arms: Sequence[Arm] = (CHAMPION_ARM,)
    wanted: Mapping[str, str | None] = {}
    try:
        arms = read_arms(settings.folder / ARMS_FILE)
    except TailorbirdError as error:
        problems.append(str(error))
    try:
        wanted = Follower(settings).look([arm.alias for arm in arms])
    except RegistryError as error:
        problems.append(str(error))
    return ArmsOut(arms=[_arm(arm, wanted.get(arm.alias), beats) for arm in arms], problems=problems)


def show_streams(settings: Settings, beats: Sequence[Beat]) -> StreamsOut:
    """The events with the profiles that follow them, the exposures with what replicas have not stored yet."""
    return StreamsOut(streams=[_events(settings), _exposures(settings, beats)])


def show_triggers(settings: Settings) -> TriggersOut:
    """Whom moves call, what waits, and what is wrong."""
    state = state_of(settings)
    return TriggersOut(
        targets=[
            TriggerTarget(
                name=each.name,
                url=each.url,
                calls=list(each.calls),
                waiting=each.counts.waiting,
                dead=each.counts.dead,
                dropped=each.counts.dropped,
                next_at=_instant(each.counts.next_at),
                problem=each.problem,
            )
            for each in state.targets
        ],
        problems=state.problems,
    )


def _arm(arm: Arm, version: str | None, beats: Sequence[Beat]) -> ArmOut:
    return ArmOut(
        name=arm.name,
        alias=arm.alias,
        version=version,
        slate=asdict(arm.slate),
        replicas=[
            ReplicaArm(replica=beat.replica, version=served.version, trouble=served.trouble)
            for beat in beats
            for served in beat.arms
            if served.name == arm.name
        ],
    )


def _events(settings: Settings) -> StreamOut:
    """Where the events end, and how far the profiles have followed them."""
    try:
        applied = FeatureStoreRoom(settings).applied()
        with open_events(settings) as stream:
            end, lag = stream.end(), stream.lag(applied)
    except TailorbirdError as error:
        return StreamOut(name="events", problem=str(error))
    return StreamOut(
        name="events", end=_offsets(end), readers={"profiles": _offsets(applied)}, lag={"profiles": lag}
    )


def _exposures(settings: Settings, beats: Sequence[Beat]) -> StreamOut:
    """Where the exposures end, and what the replicas have not stored yet."""
    outcomes: Counter[str] = Counter()
    for beat in beats:
        outcomes.update(beat.exposures)
    waiting = outcomes.pop("waiting", 0)
    try:
        with open_exposures(settings) as stream:
            end = stream.end()
    except TailorbirdError as error:
        return StreamOut(name="exposures", waiting=waiting, problem=str(error))
    return StreamOut(name="exposures", end=_offsets(end), waiting=waiting, outcomes=dict(outcomes))


def _offsets(position: Position) -> dict[str, int]:
    return {str(partition): position[partition] for partition in position}


def _instant(seconds: float | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)
