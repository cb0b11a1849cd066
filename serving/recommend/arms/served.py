"""What serves for each arm, how that is told, and which versions the memory has no room for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from registry.following.follower import Release
from serving.heartbeat import ArmBeat
from tailorbird.experiments.arm import CHAMPION, Arm
from tailorbird.slate.recommender import Recommender


@dataclass(frozen=True)
class Served:
    """What answers the requests of one arm; ``stands_in`` where the champion does so in the arm's place."""

    arm: str
    recommender: Recommender
    stands_in: bool = False


@dataclass(frozen=True)
class Standing:
    """How one arm is: its recommender, None where it has none of its own, and why it is not what its alias names."""

    arm: Arm
    recommender: Recommender | None = field(default=None, compare=False)
    trouble: str = ""

    @property
    def version(self) -> str:
        """The version that serves for this arm; "" where none does."""
        return self.recommender.version if self.recommender else ""


def misfits(
    arms: Sequence[Arm],
    wanted: Mapping[str, Release | str],
    *,
    held: Callable[[str], Release | None],
    size: Callable[[Release], int],
    budget_bytes: int,
) -> dict[str, str]:
    """The arms whose versions the budget has no room for, each with the reason; the champion always has room.

    ``wanted`` is for each alias or version what it is, or why that cannot serve: what is ``held`` for an arm stays then.
    """
    left, counted, found = budget_bytes, set[str](), dict[str, str]()
    for arm in arms:
        asked = wanted[arm.points_at]
        release = held(arm.name) if isinstance(asked, str) else asked
        if release is None or release.version in counted:
            continue
        bytes_needed = size(release)
        if bytes_needed > left and arm.name != CHAMPION:
            found[arm.name] = (
                f"version {release.version} does not fit: {_mb(bytes_needed)} MB where {_mb(max(left, 0))} are left of "
                f"{_mb(budget_bytes)}; raise TAILORBIRD_ARMS_MEMORY_MB or declare fewer arms"
            )
            continue
        counted.add(release.version)
        left -= bytes_needed
    return found


def beats_of(standings: Sequence[Standing]) -> list[ArmBeat]:
    """The arms as a heartbeat tells of them."""
    return [ArmBeat(each.arm.name, each.arm.alias, each.version, each.trouble) for each in standings]


def summary(table: Mapping[str, Standing]) -> list[tuple[Standing, str]]:
    """What of a table makes another one of it."""
    return [(standing, standing.version) for standing in table.values()]


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.1f}"
