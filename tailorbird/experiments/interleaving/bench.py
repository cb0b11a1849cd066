"""``tailorbird bench interleaving``: how many fewer units tell two rankings apart than an A/B test needs."""

import click

from tailorbird.plumbing.terminal import emit, progress, table

BETTER = (0.05, 0.1, 0.2)
"""By what share of its error the second ranking is better."""


@click.command()
@click.option("--size", type=click.IntRange(20), default=1_000, show_default=True, help="People of the shop.")
@click.option("--slates", type=click.IntRange(1), default=4, show_default=True, help="Slates of a person.")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How often people answer to each test.",
)
@click.option(
    "--trials",
    type=click.IntRange(10),
    default=1_000,
    show_default=True,
    help="Interleavings that are tried.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the shop.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def interleaving(size: int, slates: int, repeats: int, trials: int, seed: int, as_json: bool) -> None:
    r"""Show the people of a simulated shop two rankings of which one is better, as an A/B test and interleaved, ten places each.

    Says what either needs to tell them apart in four of five tests at 5 %, tries interleavings of so many units, and of two rankings
    that are as good.

    \b
    Examples:
        tailorbird bench interleaving
        tailorbird bench interleaving --size 200 --repeats 5 --trials 100 --json
    """
    from tailorbird.experiments.interleaving import simulation
    from tailorbird.simulator.shop import Shop

    found = []
    with progress("Answering", total=len(BETTER) + 1) as bar:
        shop = Shop.make(size, seed)
        for better in BETTER:
            shown = simulation.slates_of(shop, slates=slates, better=better, seed=seed)
            found.append(simulation.sensitivity_of(shown, repeats=repeats, trials=trials, seed=seed))
            bar.advance()
        alike = simulation.slates_of(shop, slates=slates, better=0.0, seed=seed)
        called = simulation.false_positives(alike, units=size, repeats=repeats, trials=trials, seed=seed)
        bar.advance()
    rows: list[dict[str, object]] = [
        {
            "error_less_by": better,
            "lift_of_clicks": round(each.lift, 4),
            "net": round(each.net, 4),
            "ab_units": each.ab_units,
            "interleaved_units": each.interleaved_units,
            "times": round(each.times, 1),
            "found": each.found,
            "wrong": each.wrong,
        }
        for better, each in zip(BETTER, found, strict=True)
    ]
    if not as_json:
        table(rows)
        rows = []
    emit({"slates": slates, "alike_called": called} | ({"rankings": rows} if rows else {}), as_json=as_json)
