"""The documentation is true: its Python runs, its commands exist, and nothing a user may set is left out."""

import re
import shlex
import tomllib
from dataclasses import asdict
from pathlib import Path

import click
import pytest

from registry.gates.gates import DEFAULT
from tailorbird.catalog.catalog import ITEM_COLUMNS, USER_COLUMNS
from tailorbird.cli import COMMANDS, tailorbird
from tailorbird.events.schema import EVENT_TYPES
from tailorbird.experiments.measuring.declared import default_metrics
from tailorbird.experiments.measuring.metric import Measure
from tailorbird.features.table import FEATURES
from tailorbird.recipes.bounds import LARGEST
from tailorbird.recipes.recipe import Recipe
from tailorbird.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md")])
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path, program: str) -> list[list[str]]:
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    words = (shlex.split(line, comments=True) for line in lines if line.strip())
    return [parts[1:] for parts in words if parts and parts[0] == program]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_exist_with_their_options(page: Path) -> None:
    for words in commands(page, "tailorbird"):
        context = click.Context(tailorbird, resilient_parsing=False)
        name, command, rest = tailorbird.resolve_command(context, words)
        while isinstance(command, click.Group):
            if command.invoke_without_command and (not rest or rest[0].startswith("-")):
                break
            name, command, rest = command.resolve_command(context, rest)
        assert command is not None, words
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        used = [word.split("=")[0] for word in rest if word.startswith("--")]
        assert set(used) <= known, f"`tailorbird {' '.join(words)}`: {set(used) - known} not in {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_in_the_pages_exist(page: Path) -> None:
    for words in commands(page, "make"):
        assert {word for word in words if "=" not in word} <= set(TARGETS), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in Settings.model_fields if f"`TAILORBIRD_{name.upper()}`" not in page] == []


def test_every_gate_is_documented_with_what_is_shipped() -> None:
    page = (ROOT / "docs" / "registry.md").read_text()
    shipped = tomllib.loads(DEFAULT.read_text())
    rows = [
        f"| `{section}.{key}` | {f'`{value}`' if isinstance(value, str) else value} |"
        for section, values in shipped.items()
        for key, value in values.items()
    ]
    assert [row for row in rows if row not in page] == []


def test_every_measure_and_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert [name for name in (*Measure, *default_metrics()) if f"`{name}`" not in page] == []


def test_every_event_type_is_documented() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    assert [name for name in EVENT_TYPES if f"`{name}`" not in page] == []


def test_every_column_of_items_and_users_is_documented() -> None:
    page = (ROOT / "docs" / "ingest.md").read_text()
    assert [name for name in (*ITEM_COLUMNS, *USER_COLUMNS) if f"`{name}`" not in page] == []


def test_every_feature_is_documented() -> None:
    page = (ROOT / "docs" / "features.md").read_text()
    assert [feature.name for feature in FEATURES if f"| `{feature.name}` |" not in page] == []


def test_every_recipe_key_is_documented() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text()
    keys = [
        f"{section}.{key}" if isinstance(values, dict) else section
        for section, values in asdict(Recipe()).items()
        for key in (values if isinstance(values, dict) else [section])
    ]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
    assert [
        key
        for key, most in LARGEST.items()
        if not re.search(rf"^\| `{key}` \| \S+ \| {most:,} \|", page, re.M)
    ] == []


def test_every_folder_of_the_rooms_is_in_the_readme() -> None:
    house = (ROOT / "README.md").read_text().split("## The house")[1]
    rooms = {
        ROOT / room: line for line in house.splitlines() for room in re.findall(r"^\| `([\w/]+)` \|", line)
    }
    del rooms[ROOT / "tailorbird"]  # its nouns are told, and many more small things live there
    folders = [
        path.parent
        for room in rooms
        for path in room.glob("*/__init__.py")
        if room.name not in ("tests", "python")
    ]
    assert len(folders) >= 50
    assert [str(folder) for folder in folders if f"`{folder.name}`" not in rooms[folder.parent]] == []


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"tailorbird {name}" not in page] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    command = tailorbird.get_command(click.Context(tailorbird), name)
    assert command is not None
    members = command.commands.values() if isinstance(command, click.Group) else [command]
    for member in members:
        assert "Examples:" in (member.help or ""), name


def helps(command: click.Command, name: str) -> list[str]:
    """The help of a command and of all that lie under it."""
    context = click.Context(command, info_name=name)
    said = [command.get_help(context)]
    if isinstance(command, click.Group):
        for member in command.list_commands(context):
            said += helps(command.get_command(context, member), member)  # type: ignore[arg-type]
    return said


def test_no_help_names_a_class_of_the_code() -> None:
    rooms = ("tailorbird", "training", "registry", "serving", "feature_repo")
    sources = [path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py")]
    classes = {name for text in sources for name in re.findall(r"^class (\w+)", text, re.M)}
    compound = {name for name in classes if re.search("[a-z][A-Z]", name)}
    assert len(compound) > 100
    for text in helps(tailorbird, "tailorbird"):
        assert set(re.findall(r"\w+", text)) & compound == set(), text


def test_make_targets_stand_in_the_order_of_the_flow() -> None:
    wanted = "setup check test test-fast prove demo ingest features segments train tune evaluate promote rollback serve mlflow bench doctor"
    assert [target for target in TARGETS if target != "help"] == wanted.split()
