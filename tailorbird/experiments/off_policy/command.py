"""``tailorbird ope``: what a policy would have earned, from the log of another one."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.settings import load_settings

if TYPE_CHECKING:
    from tailorbird.experiments.off_policy.evaluation import Evaluation

REPLAYED = "training.evaluation.replayed"
"""What asks a registered version again; imported by name, as this room imports no other."""


@click.command()
@click.option("--log", type=click.Path(path_type=Path), help="Choices with propensities and rewards.")
@click.option(
    "--target",
    type=click.Path(path_type=Path),
    help="Choices of the policy that is evaluated: it chooses as often as it did here, by position.",
)
@click.option("--action", metavar="COLUMN", help="What was chosen.")
@click.option("--position", metavar="COLUMN", help="Where it stood.  [default: positions are all the same]")
@click.option(
    "--propensity",
    metavar="COLUMN",
    help="The chance with which the log's policy chose it there.",
)
@click.option("--reward", metavar="COLUMN", help="What it brought: a click, a price.")
@click.option("--arm", metavar="ARM", help="Instead: what this arm would have earned with our own answers.")
@click.option("--workspace", help="Of --arm.  [default: TAILORBIRD_WORKSPACE or shop]")
@click.option(
    "--places", default=5, show_default=True, type=click.IntRange(1, 100), help="Of --arm: places that count."
)
@click.option(
    "--most", default=2_000, show_default=True, type=click.IntRange(2), help="Of --arm: newest answers read."
)
@click.option(
    "--clip", type=click.FloatRange(1.0), help="Largest weight.  [default: the root of the log's rows]"
)
@click.option(
    "--confidence", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.9999), help="Of intervals."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def ope(
    log: Path | None,
    target: Path | None,
    action: str | None,
    position: str | None,
    propensity: str | None,
    reward: str | None,
    arm: str | None,
    workspace: str | None,
    places: int,
    most: int,
    clip: float | None,
    confidence: float,
    as_json: bool,
) -> None:
    r"""Say what a policy would have earned, from anybody's log of another one (off-policy evaluation), or an arm from our own answers.

    By inverse propensities (ips), self-normalized (snips) and doubly robust (dr). Refuses, with exit code 1, where the log lacks what
    the target chooses, or its propensities are not those of its choices.

    \b
    Examples:
        tailorbird ope --log random.parquet --target new.parquet --action item_id --position position \
            --propensity propensity_score --reward click
        tailorbird ope --log log.csv --target log2.csv --action item --propensity p --reward price --clip 50 --json
        tailorbird ope --arm challenger --places 3
    """
    if arm is not None:
        found = _of_arm(arm, workspace, places=places, most=most, clip=clip, confidence=confidence)
    elif log and target and action and propensity and reward:
        found = _of_logs(
            log, target, (action, propensity, reward, position), clip=clip, confidence=confidence
        )
    else:
        raise UsageError(
            "neither --arm nor all of --log, --target, --action, --propensity and --reward",
            remedy="name an arm of ours, or two logs and their columns",
        )
    beside = (found.on_policy,) if found.on_policy is not None else ()
    table(
        [
            {
                "estimator": each.name,
                "value": f"{each.value:.5g}",
                "from": f"{each.interval[0]:.5g}",
                "to": f"{each.interval[1]:.5g}",
                "standard error": f"{each.error:.2g}",
            }
            for each in (*found.estimates, *beside)
        ]
    )
    for note in found.notes:
        say(f"note: {note}")
    result: dict[str, Any] = {
        "refused": found.refusal or None,
        "rows": found.rows,
        "effectiveSampleSize": found.effective_size,
        "largestWeight": found.largest_weight,
        "clippedRows": found.clipped_rows,
        "meanWeight": found.mean_weight,
        "missingSupport": found.missing,
    }
    if as_json:
        result |= {
            "confidence": confidence,
            "estimates": [
                {
                    "estimator": each.name,
                    "value": each.value,
                    "standardError": each.error,
                    "interval": list(each.interval),
                }
                for each in found.estimates
            ],
            "onPolicy": found.on_policy
            and {"value": found.on_policy.value, "interval": list(found.on_policy.interval)},
            "warnings": list(found.notes),
        }
    emit(result, as_json=as_json)
    if found.refusal:
        raise TailorbirdError(found.refusal, remedy=found.remedy)


def _of_logs(
    log: Path,
    target: Path,
    columns: tuple[str, str, str, str | None],
    *,
    clip: float | None,
    confidence: float,
) -> "Evaluation":
    from tailorbird.experiments.off_policy.evaluation import evaluate
    from tailorbird.experiments.off_policy.logs import Columns, read_logs

    return evaluate(read_logs(log, target, Columns(*columns)), clip=clip, confidence=confidence)


def _of_arm(
    arm: str, workspace: str | None, *, places: int, most: int, clip: float | None, confidence: float
) -> "Evaluation":
    from tailorbird.experiments.off_policy.slates import evaluate_slates

    settings = load_settings(workspace=workspace)
    replayed = importlib.import_module(REPLAYED)
    log = replayed.slates_of_arm(settings, arm, places=places, most=most, worth={"click": 1.0})
    return evaluate_slates(log, clip=clip, confidence=confidence)
