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
    r"""Show the people of a simulated shop two rankings of which one is better, as an A/B test and interleaved, drafted by teams and optimised, ten places each.

    Says what either needs to tell them apart in four of five tests at 5 %, tries interleavings of so many units, and of two rankings
    that are as good.

    \b
    Examples:
        tailorbird bench interleaving
        tailorbird bench interleaving --size 200 --repeats 5 --trials 100 --json
    """
    import numpy as np

    from tailorbird.experiments.interleaving import simulation
    from tailorbird.simulator.shop import Shop

    found, ms, unfair = [], [], 0
    with progress("Answering", total=2 * len(BETTER) + 2) as bar:
        shop = Shop.make(size, seed)

        def shown(better: float) -> tuple[simulation.Slates, simulation.Mixed]:
            nonlocal unfair
            slates_ = simulation.slates_of(shop, slates=slates, better=better, seed=seed)
            mixed = simulation.Mixed.of(slates_)
            ms.append(mixed.ms)
            unfair += mixed.unfair
            bar.advance()
            return slates_, mixed

        for better in BETTER:
            found.append(simulation.sensitivity_of(*shown(better), repeats=repeats, trials=trials, seed=seed))
            bar.advance()
        called = simulation.false_positives(
            *shown(0.0), units=size, repeats=repeats, trials=trials, seed=seed
        )
        bar.advance()
    rows: list[dict[str, object]] = [
        {
            "error_less_by": better,
            "lift_of_clicks": round(each.lift, 4),
            "ab_units": each.ab_units,
            "by": name,
            "net": round(way.net, 4),
            "units": way.units,
            "times": round(each.times(way), 1),
            "found": way.found,
            "wrong": way.wrong,
        }
        for better, each in zip(BETTER, found, strict=True)
        for name, way in (("team draft", each.drafted), ("optimised", each.optimised))
    ]
    if not as_json:
        table(rows)
        rows = []
    took = np.concatenate(ms)
    facts: dict[str, object] = {
        "slates": slates,
        "alike_called": called[0],
        "alike_called_optimised": called[1],
        "optimising_ms": round(float(np.median(took)), 2),
        "optimising_ms_p99": round(float(np.quantile(took, 0.99)), 2),
        "unfair": unfair,
    }
    emit(facts | ({"rankings": rows} if rows else {}), as_json=as_json)
