"""``tailorbird simulate``: make a shop and write its files."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say
from tailorbird.settings import load_settings
from tailorbird.simulator.goods import DAY
from tailorbird.simulator.shop import DEFAULT_SIZE, LARGEST, SMALLEST, Shop


@click.command()
@click.option(
    "--size",
    type=int,
    default=DEFAULT_SIZE,
    show_default=True,
    help=f"Users, {SMALLEST} to {LARGEST:,}; about 50 events each.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same shop.")
@click.option(
    "--end", help="Date on which the shop's time ends, e.g. 2026-01-01 (default: today, 00:00 UTC)."
)
@click.option(
    "--behaviours/--no-behaviours",
    default=False,
    show_default=True,
    help="Plant behaviours: people differ in how they go about a visit.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder (default: the workspace's source).",
)
@click.option("--workspace", help="Workspace (default: TAILORBIRD_WORKSPACE or shop).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def simulate(
    size: int,
    seed: int,
    end: str | None,
    behaviours: bool,
    out: Path | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    r"""Make a simulated shop: users with tastes that drift, items, and what the users did in 60 days.

    The shop knows the truth, so one can measure how much of it a model found. With --behaviours people also differ in how
    they go about a visit (some abandon carts, some hunt bargains, some come at night), and some change it. A shop of the
    same size, seed and behaviours that is already there stays.

    \b
    Examples:
        tailorbird simulate
        tailorbird simulate --size 500 --seed 7 --behaviours --out ./my-shop
        tailorbird simulate --size 200 --end 2026-01-01 --json
    """
    folder = out or load_settings(workspace=workspace).folder / "source"
    wanted_end = None if end is None else _instant(end)
    dial = _dial(folder)
    if (
        dial is not None
        and (dial["size"], dial["seed"], dial.get("behaviours", False)) == (size, seed, behaviours)
        and wanted_end in (None, dial["end"])
    ):
        say(f"already there: the shop of {size:,} users with seed {seed} in {folder}")
    else:
        with progress("simulate the shop", 2) as step:
            last = time.time() // DAY * DAY if wanted_end is None else wanted_end
            shop = Shop.make(size, seed, end=last, behaviours=behaviours)
            step.advance()
            (folder / "shop.json").unlink(missing_ok=True)  # until all is written, there is no shop
            shop.write(folder)
            step.advance()
        dial = shop.dial
    emit(
        {"folder": str(folder), **dial, "end": datetime.fromtimestamp(dial["end"], UTC).isoformat()},
        as_json=as_json,
    )


def _instant(text: str) -> float:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--end {text!r} is no date", remedy="write it as 2026-01-01") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _dial(folder: Path) -> dict[str, float] | None:
    files = [folder / name for name in ("shop.json", "events.parquet", "items.parquet", "users.parquet")]
    if not all(file.exists() for file in files):
        return None
    try:
        dial: dict[str, float] = json.loads(files[0].read_text(encoding="utf-8"))
        return dial if {"size", "seed", "end"} <= set(dial) else None
    except ValueError:
        return None
