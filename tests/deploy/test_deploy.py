"""What is deployed keeps its promises: no root, nothing writable but volumes, no compiler, only settings and extras that exist."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailorbird.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
STAGES = re.split(r"^FROM ", CONTAINERFILE, flags=re.M)[1:]
OURS = {"TAILORBIRD_" + name.upper() for name in Settings.model_fields}


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """Every pod specification inside."""
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        for value in node.values():
            yield from pods(value)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_pod_runs_without_root_and_writes_to_volumes_only(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert all({"apiVersion", "kind", "metadata"} <= set(document) for document in documents)
    for pod in pods(documents):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert f"USER {pod['securityContext']['runAsUser']}:" in STAGES[-1]
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"] is True
            assert allowed["allowPrivilegeEscalation"] is False
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            mounted = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert mounted == {"/var/lib/tailorbird", "/tmp", "/dev/shm"}


def test_there_are_pods_to_look_at() -> None:
    assert sum(len(list(pods(list(yaml.safe_load_all(path.read_text()))))) for path in MANIFESTS) >= 3


def test_only_settings_that_exist_are_set() -> None:
    texts = [CONTAINERFILE, *(path.read_text() for path in MANIFESTS)]
    named = {name for text in texts for name in re.findall(r"TAILORBIRD_[A-Z_]+", text)}
    assert len(named) >= 6
    assert named <= OURS


def test_the_image_has_no_compiler_and_the_extras_that_exist() -> None:
    assert len(STAGES) == 2
    assert not re.search(r"\b(gcc|g\+\+|make|apt-get)\b", STAGES[-1])
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    (wanted,) = re.findall(r'"\.\[([\w,]+)\]"', CONTAINERFILE)
    assert set(wanted.split(",")) == extras - {"dev"}


def test_every_room_that_the_package_holds_is_copied() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    rooms = {name.rstrip("*") for name in packages["include"]}
    copied = set(re.findall(r"^COPY (\w+) \1$", CONTAINERFILE, flags=re.M))
    assert copied == rooms
    kept = set(re.findall(r"^!(\S+)$", (DEPLOY / ".containerignore").read_text(), flags=re.M))
    assert rooms < kept


def test_ray_is_of_one_version_everywhere() -> None:
    (pinned,) = re.findall(r"^ray(?:\[.*\])?==(\S+)$", (ROOT / "requirements.lock").read_text(), flags=re.M)
    assert f'rayVersion: "{pinned}"' in (DEPLOY / "kubernetes" / "tuning.yaml").read_text()


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [str(program), str(DEPLOY / "Containerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
