"""The digest of the code that makes models changes with it, and with nothing else."""

from pathlib import Path

from training.publish.code import HOUSE, MAKERS, model_code, source_digest


def test_any_change_of_a_source_file_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "model.py").write_text("x = 1\n")
    (tmp_path / "a" / "deep" / "recipe.toml").write_text("width = 8\n")
    seen = {source_digest([tmp_path / "a"])}
    (tmp_path / "a" / "notes.md").write_text("no code")
    (tmp_path / "a" / "model.cpython-311.pyc").write_bytes(b"compiled")
    assert source_digest([tmp_path / "a"]) in seen
    (tmp_path / "a" / "model.py").write_text("x = 2\n")
    seen.add(source_digest([tmp_path / "a"]))
    (tmp_path / "a" / "deep" / "recipe.toml").write_text("width = 9\n")
    seen.add(source_digest([tmp_path / "a"]))
    (tmp_path / "a" / "model.py").rename(tmp_path / "a" / "models.py")
    seen.add(source_digest([tmp_path / "a"]))
    assert len(seen) == 4


def test_the_folders_that_make_models_are_there() -> None:
    assert [folder for folder in MAKERS if not list((HOUSE / folder).glob("*.py"))] == []
    assert model_code() == model_code()
