"""What the benchmark of keys times: calls that are let in, by a key that the workspace has."""

from pathlib import Path

from serving.bench.answers.keys import KEYS, timed
from tailorbird.access.file import read_keys
from tailorbird.settings import load_settings


def test_figures_are_of_keys_that_open(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, workspace="bench")
    figures = timed(settings, blocks=3)
    assert min(figures.values()) > 0  # type: ignore[type-var]
    assert len(read_keys(settings.keys_file) or ()) == KEYS
