"""``tailorbird bench statistics``: proves the statistics on simulated shops, in figures and a drawing."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tailorbird.plumbing.terminal import emit, progress, table


@click.command()
@click.option(
    "--trials", type=click.IntRange(100), default=2_000, show_default=True, help="Tests of each kind."
)
@click.option(
    "--worlds", type=click.IntRange(1), default=20, show_default=True, help="Shops that are simulated."
)
@click.option("--size", type=click.IntRange(200), default=2_000, show_default=True, help="People of a shop.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the first shop.")
@click.option(
    "--logs", type=click.IntRange(20), default=500, show_default=True, help="Logs of off-policy evaluation."
)
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw what looking does into this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def statistics(
    trials: int, worlds: int, size: int, seed: int, logs: int, plot: Path | None, as_json: bool
) -> None:
    r"""Prove the statistics of experiments on simulated shops, in which what is true is known.

    Tests of nothing are called as seldom as they should be, read once or looked at all the time; intervals cover planted effects; a
    covariate saves what it explains; plans hold; lost units are found; off-policy intervals cover the truth. Novelty, segments and interactions
    that are planted are found by the readout, and none where there are none.

    \b
    Examples:
        tailorbird bench statistics
        tailorbird bench statistics --trials 200 --worlds 2 --size 500 --logs 50 --json
    """
    from tailorbird.experiments.off_policy.simulation import coverage
    from tailorbird.experiments.proof import trials as proof
    from tailorbird.experiments.proof.planted import planted_trials
    from tailorbird.experiments.proof.resplits import resplit_trials
    from tailorbird.experiments.proof.world import METRICS, PRIMARY, world_of

    with progress("shops", total=worlds) as bar:
        shops = []
        for at in range(worlds):
            shops.append(world_of(size, seed=seed + at))
            bar.advance()
    with progress("tests", total=10) as bar:
        once = proof.fixed_trials(shops, trials=trials, seed=seed)
        bar.advance()
        looked = {}
        for name in (PRIMARY, "clicks", "revenue"):
            looked[name] = proof.looking_trials(shops, trials=trials, metric=name, seed=seed + 1)
            bar.advance()
        planned = {}
        for name in (PRIMARY, "clicks"):
            planned[name] = proof.planned_trials(shops, trials=trials, metric=name, seed=seed + 2)
            bar.advance()
        lost = proof.lost_trials(trials=trials, seed=seed + 3)
        bar.advance()
        off_policy = coverage(logs=logs, seed=seed)
        bar.advance()
        planted_ones = planted_trials(trials=trials, seed=seed + 4)
        bar.advance()
        split = resplit_trials(worlds=worlds, trials=trials, size=size, seed=seed)
        bar.advance()
    table(
        [
            {
                "metric": name,
                "false positives": f"{once.false_positives[name]:.1%}",
                "covered": f"{once.covered[name]:.1%}",
                "looking, fixed p": f"{looked[name].fixed[-1]:.1%}" if name in looked else "",
                "looking, always valid": f"{looked[name].always_valid[-1]:.1%}" if name in looked else "",
                "power of a plan for 80%": f"{planned[name].found:.1%}" if name in planned else "",
            }
            for name in METRICS
        ]
    )
    if plot is not None:
        draw_looking(looked[PRIMARY], plot)
    figures: dict[str, Any] = {
        "trials": trials,
        "people": sum(shop.people for shop in shops),
        "CUPED's variance ÷ (1 - rho²), reported; among trials": (
            round(once.cuped_reported, 3),
            round(once.cuped_among_trials, 3),
        ),
        "lost units found, at the end; looking": (lost.found, lost.found_looking),
        "false alarms at 5 %, at the end; looking": (lost.false_alarms, lost.false_alarms_looking),
        "off-policy intervals that cover": off_policy.covered,
        "an effect that wears off, found; of one that stays, called": (
            planted_ones.novelty_found,
            planted_ones.novelty_false,
        ),
        "effects that differ by segment, found; the same, called": (
            planted_ones.segments_found,
            planted_ones.segments_false,
        ),
        "shrunk intervals of segments that cover, by spread in points": planted_ones.segments_covered,
        "an interaction found; none, called": (
            planted_ones.interaction_found,
            planted_ones.interaction_false,
        ),
        "false alarms of the ratio at 5 % as units came": planted_ones.ratio_false_while_looking,
        "our own metrics, tests of nothing called": split.called,
    }
    if as_json:
        figures |= {
            "once": asdict(once),
            "looking": {name: asdict(each) for name, each in looked.items()},
            "planned": {name: asdict(each) for name, each in planned.items()},
            "lost": asdict(lost),
            "offPolicy": asdict(off_policy),
            "planted": asdict(planted_ones),
            "resplits": asdict(split),
        }
    emit(figures, as_json=as_json)


def draw_looking(found: Any, path: Path) -> None:
    """Draw how the share of tests of nothing that were called grows with each look."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(found.units, [100 * each for each in found.fixed], label="p < .05 at any look")
    axes.plot(
        found.units, [100 * each for each in found.always_valid], label="always-valid p < .05 at any look"
    )
    axes.axhline(5, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("units seen")
    axes.set_ylabel("tests of nothing called, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)
