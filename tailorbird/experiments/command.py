"""``tailorbird experiment``: whether B is better than A, and how sure one may be."""

from pathlib import Path

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, say, table


@click.group()
def experiment() -> None:
    r"""Launch experiments, and say whether B is better than A, and how sure one may be.

    \b
    Examples:
        tailorbird experiment new more-variety
        tailorbird experiment check more-variety
        tailorbird experiment start more-variety
        tailorbird experiment read finished.csv --unit user_id --variant variant --control A --metric bought:proportion
    """


@experiment.command("read")
@click.argument("file", metavar="TABLE", type=click.Path(path_type=Path))
@click.option("--unit", required=True, metavar="COLUMN", help="Whose row it is; each unit has one.")
@click.option("--variant", required=True, metavar="COLUMN", help="Which variant the unit got.")
@click.option("--control", required=True, metavar="NAME", help="The variant that others are compared with.")
@click.option("--shares", metavar="A=1,B=1", help="What each variant was due.  [default: all the same]")
@click.option(
    "--metric",
    "metrics",
    required=True,
    multiple=True,
    metavar="COLUMN:proportion|mean|ratio/COLUMN",
    help="What is compared; the first decides, others may object. May be given again.",
)
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    metavar="METRIC=COLUMN",
    help="The metric as it was before the test; takes its part of the variance away (CUPED). May be given again.",
)
@click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Count more than VALUE as VALUE. May be given again.",
)
@click.option(
    "--lower", multiple=True, metavar="METRIC", help="Lower is better in this metric. May be given again."
)
@click.option(
    "--confidence", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.9999), help="Of intervals."
)
@click.option(
    "--adjust",
    default="holm",
    show_default=True,
    type=click.Choice(["holm", "bh", "none"]),
    help="How p-values of several metrics and variants are adjusted.",
)
@click.option(
    "--looking", is_flag=True, help="The test is looked at while it runs: decide by what always holds."
)
@click.option(
    "--tuned-units",
    default=10_000,
    show_default=True,
    type=click.IntRange(100),
    help="Units of a pair at which always-valid intervals are narrowest; choose before the test.",
)
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the lifts into this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def read(
    file: Path,
    unit: str,
    variant: str,
    control: str,
    shares: str | None,
    metrics: tuple[str, ...],
    covariates: tuple[str, ...],
    caps: tuple[str, ...],
    lower: tuple[str, ...],
    confidence: float,
    adjust: str,
    looking: bool,
    tuned_units: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    r"""Read anybody's finished test: a CSV or Parquet table with one row a unit.

    Says, for each metric and variant, mean, lift, intervals and p-values, whether the variants have the units they were due, and
    what to do. docs/experiments-reading.md says what each figure is equal to.

    \b
    Examples:
        tailorbird experiment read finished.csv --unit user_id --variant variant --control A --metric bought:proportion
        tailorbird experiment read finished.parquet --unit user_id --variant variant --control A --shares A=9,B=1 \
            --metric revenue:mean --covariate revenue=revenue_before --cap revenue=500 --metric clicks:ratio/views --json
    """
    from tailorbird.experiments.reading.metric import parse_metric, parse_shares, with_options
    from tailorbird.experiments.reading.readout import Design, read_out
    from tailorbird.experiments.reading.shown import as_json as readout_as_json
    from tailorbird.experiments.reading.shown import draw, table_rows
    from tailorbird.experiments.reading.units import read_units

    wanted = with_options(
        [parse_metric(each) for each in metrics], covariates=covariates, caps=caps, lower=lower
    )
    if unit == variant:
        raise UsageError(
            "--unit and --variant name the same column", remedy="they are two columns of the table"
        )
    columns = [name for metric in wanted for name in metric.columns]
    if {unit, variant} & set(columns):
        raise UsageError("a metric names the column of --unit or --variant", remedy="use a column of numbers")
    units = read_units(file, unit=unit, variant=variant, columns=columns)
    design = Design(
        control=control,
        shares=parse_shares(shares, variants=units.variants),
        confidence=confidence,
        adjustment=adjust,
        looking=looking,
        tuned_units=tuned_units,
    )
    readout = read_out(units, wanted, design)
    if plot is not None:
        draw(readout, plot)
    shown = readout_as_json(readout)
    table(table_rows(readout))
    for note in [*readout.notes, *(note for each in readout.metrics for note in each.notes)]:
        say(f"note: {note}")
    if as_json:
        emit(shown, as_json=True)
        return
    said = {
        f"{row['variant']}, {each['metric']}": row["verdict"]
        for each in shown["metrics"]
        for row in each["variants"][1:]
    }
    emit(
        {"verdict": shown["verdict"], "srmPValue": f"{readout.srm_p:.2g}"} | (said if len(said) > 1 else {}),
        as_json=False,
    )
