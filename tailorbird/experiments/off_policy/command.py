"""``tailorbird ope``: what a policy would have earned, from the log of another one."""

from pathlib import Path
from typing import Any

import click

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import emit, say, table


@click.command()
@click.option(
    "--log", required=True, type=click.Path(path_type=Path), help="Choices with propensities and rewards."
)
@click.option(
    "--target",
    required=True,
    type=click.Path(path_type=Path),
    help="Choices of the policy that is evaluated: it chooses as often as it did here, by position.",
)
@click.option("--action", required=True, metavar="COLUMN", help="What was chosen.")
@click.option("--position", metavar="COLUMN", help="Where it stood.  [default: positions are all the same]")
@click.option(
    "--propensity",
    required=True,
    metavar="COLUMN",
    help="The chance with which the log's policy chose it there.",
)
@click.option("--reward", required=True, metavar="COLUMN", help="What it brought: a click, a price.")
@click.option(
    "--clip", type=click.FloatRange(1.0), help="Largest weight.  [default: the root of the log's rows]"
)
@click.option(
    "--confidence", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.9999), help="Of intervals."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def ope(
    log: Path,
    target: Path,
    action: str,
    position: str | None,
    propensity: str,
    reward: str,
    clip: float | None,
    confidence: float,
    as_json: bool,
) -> None:
    r"""Say what a policy would have earned, from anybody's log of another one (off-policy evaluation).

    By inverse propensities (ips), self-normalized (snips) and doubly robust (dr). Refuses, with exit code 1, where the log lacks what
    the target chooses, or its propensities are not those of its choices.

    \b
    Examples:
        tailorbird ope --log random.parquet --target new.parquet --action item_id --position position \
            --propensity propensity_score --reward click
        tailorbird ope --log log.csv --target log2.csv --action item --propensity p --reward price --clip 50 --json
    """
    from tailorbird.experiments.off_policy.evaluation import evaluate
    from tailorbird.experiments.off_policy.logs import Columns, read_logs

    logs = read_logs(log, target, Columns(action, propensity, reward, position))
    found = evaluate(logs, clip=clip, confidence=confidence)
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
