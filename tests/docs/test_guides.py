"""The guides on tests are walked as they are written: on a simulated shop, by the real front, streams, registry and gates."""

import asyncio
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from tailorbird_client import AsyncClient

from registry.experiments.deciding import Wish, decide
from registry.promotion.aliases import Aliases
from tailorbird import cli
from tailorbird.experiments.deciding.own import read_experiment_out
from tailorbird.experiments.deciding.shown import as_json
from tailorbird.settings import Settings, load_settings
from tailorbird.simulator.shop import Shop
from tests.docs.test_docs import ROOT, blocks
from tests.serving.world import World

pytestmark = pytest.mark.slow
GUIDES = ROOT / "docs" / "guides"
FIRST, MULTIVARIATE = GUIDES / "first-ab-test.md", GUIDES / "multivariate-test.md"
WEEK = 7.5 * 86_400


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, mlflow_schema: Path) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("guides")
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "mlflow.db").write_bytes(mlflow_schema.read_bytes())
    return {
        "TAILORBIRD_HOME": str(folder / "home"),
        "TAILORBIRD_MLRUNS": str(folder / "mlruns"),
        "TAILORBIRD_WORKSPACE": "shop",
    }


@pytest.fixture(scope="module")
def shop(environment: dict[str, str]) -> Settings:
    """The first commands of the guide, on a smaller shop."""
    folder = Path(environment["TAILORBIRD_HOME"]).parent
    for name, text in zip(("hourly", "better"), blocks(FIRST, "toml"), strict=False):
        (folder / f"{name}.toml").write_text(text)
    for words in (
        ("simulate", "--size", "300", "--seed", "3", "--out", str(folder / "shop")),
        ("ingest", "--data", "shop", "--path", str(folder / "shop")),
        ("features",),
        ("train", "--recipe", str(folder / "hourly.toml")),
        ("promote", "--version", "1"),
        ("train", "--recipe", str(folder / "better.toml")),
    ):
        run(environment, *words)
    return load_settings(
        home=environment["TAILORBIRD_HOME"], mlruns=environment["TAILORBIRD_MLRUNS"], workspace="shop"
    )


@pytest.fixture(scope="module")
def platform(shop: Settings, environment: dict[str, str]) -> Iterator[World]:
    """What `serve` starts, in this process, with both tests running."""
    declare(shop, "better-model", blocks(FIRST, "toml")[3])
    declare(shop, "teaser", blocks(MULTIVARIATE, "toml")[0])
    (shop.folder / "metrics.toml").write_text(blocks(MULTIVARIATE, "toml")[1])
    for key in ("better-model", "teaser"):
        run(environment, "experiment", "check", key)
        run(environment, "experiment", "start", key, "--reason", "the guide says so")
    world = World(shop, budget=100_000_000)
    world.clock = time.time()
    world.check()
    yield world
    world.close()


def test_the_first_test_leads_to_a_promoted_winner(platform: World, shop: Settings) -> None:
    visits = defined(FIRST)["visits"]
    through = httpx.ASGITransport(app=platform.front)

    async def come() -> int:
        async with AsyncClient("http://shop", transport=through, timeout=60, deadline=60) as client:
            return await visits(client, Shop.open(shop.home.parent / "shop"), each=3)

    assert asyncio.run(come()) > 300
    stored(platform)
    found = as_json(read_experiment_out(shop, "better-model", now=time.time() + WEEK))
    assert (found["decision"], found["variant"]) == ("ship", "better"), found["verdict"]
    assert found["verdict"].startswith("better is better on clicks_per_slate, by ")
    assert found["units"] > 250
    wish = Wish("better", "a third more clicks", who="ada", by="login:ada")
    done = decide(shop, "better-model", wish, readout=found)
    assert done.entry.state == "decided"
    assert platform.registry.version("champion").version == 2
    why = Aliases(platform.registry).history("champion")[0].why
    assert why.startswith(
        "experiment better-model: a third more clicks (better is better on clicks_per_slate"
    )


def test_the_multivariate_test_tells_the_factor_that_matters(platform: World, shop: Settings) -> None:
    teaser = defined(MULTIVARIATE)["teaser"]
    platform.clock = time.time()

    async def come() -> int:
        async with platform.client() as client:
            return await teaser(client, visitors=700)

    assert asyncio.run(come()) > 200
    stored(platform)
    found = as_json(read_experiment_out(shop, "teaser", now=time.time() + WEEK))
    # Who sees which layout is drawn anew each time: one time in twenty it seems to matter, as the level says.
    assert found["decision"] == "ship", found["verdict"]
    assert found["variant"] in ("personal.list", "personal.grid"), found["verdict"]
    assert found["verdict"].startswith("headline = personal is better on followed, by ")
    told = {tuple(each["levels"].values()): each for each in found["factors"]["effects"]}
    assert told["personal",]["adjustedPValue"] < 0.01
    assert told["personal", "grid"]["interaction"]


def stored(world: World) -> None:
    """Wait until every exposure is in the stream."""
    until = time.monotonic() + 30
    while world.exposures.waiting:
        assert time.monotonic() < until
        time.sleep(0.01)


def run(environment: dict[str, str], *words: str) -> None:
    done = CliRunner().invoke(cli.tailorbird, list(words), env=environment)
    assert done.exit_code == 0, done.output


def declare(settings: Settings, key: str, text: str) -> None:
    tomllib.loads(text)
    folder = settings.folder / "experiments"
    folder.mkdir(exist_ok=True)
    (folder / f"{key}.toml").write_text(text)


def defined(page: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    return names
