"""A bundle is written whole or not at all, says exactly what it holds, and refuses to open when anything differs."""

import datetime as dt
import json
import random
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailorbird.bundle import BundleError, Fallbacks, Manifest, Origin, open_bundle, write_bundle

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


class Scores:
    """The smallest real model: one array, with a folder of its own inside the model's folder."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def save(self, folder: Path) -> None:
        (folder / "deep").mkdir()
        np.save(folder / "deep" / "values.npy", self.values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "deep" / "values.npy", allow_pickle=False))


class Unsavable:
    def save(self, folder: Path) -> None:
        (folder / "half").write_text("half of a model")
        raise KeyboardInterrupt


def write(folder: Path, values: np.ndarray | None = None) -> Manifest:
    return write_bundle(
        Scores(np.arange(5.0) if values is None else values),
        folder,
        origin=Origin(
            name="toy",
            recipe="size = 1\n",
            recipe_digest="r1",
            data_digest="d1",
            first_event=NOW - dt.timedelta(days=2),
            last_event=NOW,
            git_commit="abc",
        ),
        metrics={"ndcg@10": 0.25},
        fallbacks=Fallbacks(everyone=["b", "a"], segments={"women": ["a"]}),
        now=NOW,
    )


def test_a_bundle_opens_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle", load=Scores.load)
    assert bundle.model.values.tolist() == [0, 1, 2, 3, 4]
    assert bundle.metrics == {"ndcg@10": 0.25}
    assert bundle.fallbacks == Fallbacks(everyone=["b", "a"], segments={"women": ["a"]})
    assert bundle.recipe == "size = 1\n"
    assert bundle.manifest == written
    assert bundle.manifest.data_span == ("2026-03-02T05:06:07+00:00", "2026-03-04T05:06:07+00:00")
    assert set(written.files) == {"model/deep/values.npy", "metrics.json", "fallbacks.json", "recipe.toml"}


def test_the_version_is_a_function_of_the_content(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a"), write(tmp_path / "b")
    other = write(tmp_path / "c", np.arange(5.0) + 1e-9)
    assert first.version == again.version != other.version


def test_nothing_is_left_beside_a_bundle_or_after_a_failure(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    with pytest.raises(KeyboardInterrupt):
        write_bundle(
            Unsavable(),
            tmp_path / "half",
            origin=Origin(name="toy"),
            metrics={},
            fallbacks=Fallbacks(),
            now=NOW,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_is_never_overwritten(tmp_path: Path) -> None:
    before = write(tmp_path / "bundle")
    with pytest.raises(BundleError, match="exists already"):
        write(tmp_path / "bundle", np.zeros(3))
    assert open_bundle(tmp_path / "bundle", load=Scores.load).manifest == before


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BundleError, match="no bundle at"):
            open_bundle(folder, load=Scores.load)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["flip", "cut", "grow", "delete", "empty", "add"]))
def test_any_damage_to_any_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    """Whatever single change befalls whichever file, the bundle does not open and the message names the place."""
    folder = tmp_path_factory.mktemp("damage") / "bundle"
    names = [*write(folder).files, "manifest.json"]
    rng = random.Random(seed)
    path = folder / rng.choice(names)
    content = bytearray(path.read_bytes())
    if kind == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    elif kind == "cut":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif kind == "grow":
        path.write_bytes(bytes(content) + b"x")
    elif kind == "delete":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path = path.with_name("stranger.bin")
        path.write_bytes(b"x")
    with pytest.raises(BundleError) as refused:
        open_bundle(folder, load=Scores.load)
    assert path.name in refused.value.what
    assert refused.value.remedy


def test_a_file_swapped_between_two_whole_bundles_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "old")
    write(tmp_path / "new", np.arange(5.0) * 2)
    inside = Path("model/deep/values.npy")
    (tmp_path / "old" / inside).replace(tmp_path / "new" / inside)
    with pytest.raises(BundleError, match=r"values\.npy: its SHA-256 is"):
        open_bundle(tmp_path / "new", load=Scores.load)


def forge(folder: Path, **changes: object) -> None:
    """Change the manifest's fields and give it the digest that fits, as a careful forger would."""
    raw = json.loads((folder / "manifest.json").read_text()) | changes
    raw.pop("digest")
    draft = Manifest(**{**raw, "data_span": tuple(raw["data_span"])})
    (folder / "manifest.json").write_text(draft.to_json())


def test_a_manifest_cannot_name_files_outside_of_the_bundle(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    (tmp_path / "secret").write_text("s")
    forge(tmp_path / "bundle", files={"../secret": {"sha256": "0", "bytes": 1}})
    for name in ("model/deep/values.npy", "metrics.json", "fallbacks.json", "recipe.toml"):
        (tmp_path / "bundle" / name).unlink()
    with pytest.raises(BundleError, match="outside of the bundle"):
        open_bundle(tmp_path / "bundle", load=Scores.load)


@pytest.mark.parametrize(
    "model", ["os:system", "tailorbird.bundle.bundle:gone", "tailorbird.gone:Model", "nonsense"]
)
def test_only_our_own_model_classes_are_imported(tmp_path: Path, model: str) -> None:
    write(tmp_path / "bundle")
    forge(tmp_path / "bundle", model=model)
    with pytest.raises(BundleError, match="model class"):
        open_bundle(tmp_path / "bundle")


def test_a_bundle_of_another_format_says_so(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    forge(tmp_path / "bundle", format=99)
    with pytest.raises(BundleError, match="format 99, this version reads 1"):
        open_bundle(tmp_path / "bundle", load=Scores.load)


def test_a_model_that_does_not_load_is_a_bundle_error(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    with pytest.raises(BundleError, match="does not load"):
        open_bundle(tmp_path / "bundle", load=lambda folder: np.load(folder / "elsewhere.npy"))


def test_the_segments_that_are_pinned_stand_in_the_manifest_and_nowhere_where_there_are_none(
    tmp_path: Path,
) -> None:
    """Bundles of versions that knew of no segments read as before."""
    pin = {"name": "toy.segments", "version": "3", "digest": "abc"}
    for name, segments in (("pinning", pin), ("plain", {})):
        write_bundle(
            Scores(np.arange(5.0)),
            tmp_path / name,
            origin=Origin(name="toy", segments=segments),
            metrics={},
            fallbacks=Fallbacks(),
            now=NOW,
        )
        assert Manifest.read(tmp_path / name).segments == segments
        assert ("segments" in json.loads((tmp_path / name / "manifest.json").read_text())) == bool(segments)
    changed = json.loads((tmp_path / "pinning" / "manifest.json").read_text())
    changed["segments"]["version"] = "4"
    (tmp_path / "pinning" / "manifest.json").write_text(
        json.dumps(changed, indent=2, sort_keys=True) + "\n", "utf-8"
    )
    with pytest.raises(BundleError, match="digest"):
        Manifest.read(tmp_path / "pinning")
