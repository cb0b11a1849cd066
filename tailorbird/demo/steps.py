"""The steps of a demo: what has been done with these very inputs is not done again.

A finished step leaves a stamp with the digest of what it read; the next demo skips it while the digest holds.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tailorbird import __version__
from tailorbird.demo.ownership import Stamps, ingested, read_stamps, write_stamps
from tailorbird.demo.processes import stop
from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import say
from tailorbird.privacy.policy.policy import POLICY_FILE, read_policy
from tailorbird.settings import Settings

GATES_REFUSE = 3
"""The exit code of a promotion that is refused: a demo goes on with the version it has."""

BASIS = """# Of the demo: nobody but you and simulated people. Yours says by which right you use what people do (docs/privacy.md).
[basis]
name = "contract"
purposes = ["personalization", "analytics"]
"""


@dataclass(frozen=True)
class Step:
    """One command of the demo; ``argv`` without the program. What is not ``needed`` may fail, and the demo goes on."""

    name: str
    argv: tuple[str, ...]
    needed: bool = True


def steps_of(
    settings: Settings, *, data: str, source: Path, size: int, seed: int, recipe: str, trials: int
) -> list[Step]:
    """Everything from raw events to a promoted model."""
    here = ("--workspace", settings.workspace)
    steps = [
        Step("ingest", ("ingest", *here, "--data", data, "--path", str(source))),
        Step("features", ("features", *here)),
        Step("segments", ("segments", "fit", *here, "--promote"), needed=False),
        Step("tune", ("tune", *here, "--recipe", recipe, "--trials", str(trials))),
        Step("promote", ("promote", *here, "--alias", "champion")),
    ]
    if data == "shop":
        dial = ("--size", str(size), "--seed", str(seed), "--behaviours")
        steps.insert(0, Step("simulate", ("simulate", *dial, "--out", str(source))))
    return steps


def declare_basis(settings: Settings) -> None:
    """Say by which right the demo uses what its visitors do, where the workspace has no policy yet; one of somebody's stays."""
    path = settings.folder / POLICY_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BASIS, encoding="utf-8")
    if warning := read_policy(settings).warning:
        say(warning)


def prepare(steps: Sequence[Step], settings: Settings, path: Path | None) -> None:
    """Run what has not been done with these very inputs; a changed step makes all later ones run again."""
    known = read_stamps(settings)
    stamps, own = dict(known.steps), set(known.own)
    digest = hashlib.sha256(f"{__version__} {settings.model_dump_json()} {_fingerprint(path)}".encode())
    for number, step in enumerate(steps, start=1):
        digest.update(" ".join(step.argv).encode())
        if stamps.get(step.name) == digest.hexdigest():
            say(f"[{number}/{len(steps)}] {step.name}: done before")
            continue
        say(f"[{number}/{len(steps)}] {step.name}")
        before = ingested(settings)
        write_stamps(settings, Stamps(stamps, own, running=step.name))
        _run(step)
        own |= ingested(settings) - before
        stamps[step.name] = digest.hexdigest()
        write_stamps(settings, Stamps(stamps, own, running=""))


def _fingerprint(path: Path | None) -> str:
    if path is None:
        return ""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return " ".join(
        f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files if file.is_file()
    )


def _run(step: Step) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tailorbird", *step.argv], stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        code = process.wait()
    except KeyboardInterrupt:
        stop([process])
        raise
    if code == GATES_REFUSE and step.name == "promote":
        say("the gates keep the version that serves now; what they found is above")
    elif code and not step.needed:
        say(
            f"step {step.name!r} ended with exit code {code}; its message is above, and the demo goes on without"
        )
    elif code:
        again = f"tailorbird {' '.join(step.argv)}"
        raise TailorbirdError(
            f"step {step.name!r} ended with exit code {code}", remedy=f"its message is above; alone: {again}"
        )
