"""The front door: one ``tailorbird`` command whose sub-commands stand in the order of the flow.

Each room owns its commands; they are named here by string and imported when called, so ``--help`` answers at once
and the import contract (tailorbird imports no other room) holds.
"""

import importlib
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

import click

from tailorbird import __version__
from tailorbird.errors import TailorbirdError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("tailorbird.demo.command:demo", "Run everything, from raw events to answers over HTTP."),
    "simulate": ("tailorbird.simulator.command:simulate", "Make a simulated shop: items, users, events."),
    "ingest": ("tailorbird.ingest.command:ingest", "Validate events, items and users into the workspace."),
    "quarantine": (
        "tailorbird.ingest.quarantine_command:quarantine",
        "Show the rows that ingest refused, as they came.",
    ),
    "items": ("tailorbird.catalog.command:items", "Show, tell and delete items of the catalogue."),
    "features": (
        "feature_repo.command:features",
        "Apply the Feast repository and bring features up to date.",
    ),
    "profile": (
        "serving.admin.people.profile_command:profile",
        "Show what the platform knows of a person, now or at an instant of the past.",
    ),
    "segments": (
        "training.segments.commands:segments",
        "Find segments in what people do, compare, promote and tell them.",
    ),
    "train": ("training.commands:train", "Fit one recipe, track it in MLflow and register the bundle."),
    "tune": ("training.commands:tune", "Search a recipe's space with Optuna on Ray; register the best."),
    "evaluate": ("training.commands:evaluate", "Evaluate a registered model on the newest events."),
    "retrain": (
        "training.retrain.commands:retrain",
        "Learn from newer events, and decide about what learned: once, by schedule, by data or by drift.",
    ),
    "benchmark": (
        "training.benchmarks.published.command:benchmark",
        "Run a published protocol on a data set and write the rankings.",
    ),
    "promote": ("registry.commands:promote", "Move an alias to a version that passes the gates."),
    "rollback": ("registry.commands:rollback", "Return an alias to the version it had before."),
    "decisions": ("registry.commands:decisions", "List who moved which alias, when and why."),
    "keys": ("tailorbird.access.command:keys", "Make, list, rotate and revoke the keys that callers need."),
    "audit": (
        "registry.promotion.audit_commands:audit",
        "Show who did what to people's data, keys and models; check that record.",
    ),
    "serve": ("serving.command:serve", "Answer HTTP requests with the champion."),
    "triggers": (
        "serving.triggers.command:triggers",
        "Show whom moves of people call; look at and replay what was given up.",
    ),
    "storefront": (
        "serving.storefront.command:storefront",
        "Open a small shop in which one sees one's own profile move.",
    ),
    "consent": (
        "serving.privacy.consent_command:consent",
        "Show and set what a person's data may be used for.",
    ),
    "restrict": (
        "serving.privacy.rights_command:restrict",
        "Keep what is known of a person, and use it for nothing.",
    ),
    "object": (
        "serving.privacy.rights_command:object_to",
        "End the use of what is known of a person for a purpose, whatever the basis.",
    ),
    "export": (
        "serving.privacy.export_command:export",
        "Write everything that is kept of a person to a file.",
    ),
    "erase": (
        "serving.privacy.command:erase",
        "Erase people everywhere, and prove that nothing of them is left.",
    ),
    "retention": (
        "serving.privacy.retention_command:retention",
        "Let go of events, exposures and refused rows that have reached their age.",
    ),
    "forget": (
        "training.forget.commands:forget",
        "Take people who were erased out of the models in use.",
    ),
    "exposures": (
        "tailorbird.exposures.command:exposures",
        "Prove what was shown: features of answers, computed again.",
    ),
    "experiment": (
        "tailorbird.experiments.command:experiment",
        "Launch tests of A against B, and say which is better and how sure one may be.",
    ),
    "ope": (
        "tailorbird.experiments.off_policy.command:ope",
        "Say what a policy would have earned, from the log of another one.",
    ),
    "backup": (
        "tailorbird.backup.command:backup",
        "Keep copies of a workspace that an erasure reaches, and put one back.",
    ),
    "secrets": (
        "tailorbird.privacy.keys.commands:secrets",
        "The keys that people's names and data are kept with: show, rotate.",
    ),
    "mlflow": ("registry.commands:mlflow_pages", "Open the MLflow pages of this workspace."),
    "bench": ("serving.bench.command:bench", "Measure speed: requests per second, latencies, ratios."),
    "doctor": (
        "tailorbird.doctor.command:doctor",
        "Say what each setting points at, whether it answers, and what to do.",
    ),
}


GUESTS: dict[str, tuple[str, ...]] = {
    "experiment": (
        "registry.experiments.launch_commands:new",
        "registry.experiments.launch_commands:check",
        "registry.experiments.launch_commands:start",
        "registry.experiments.launch_commands:ramp",
        "registry.experiments.launch_commands:stop",
        "registry.experiments.launch_commands:list_all",
        "registry.experiments.commands:readout",
        "registry.experiments.commands:decide",
    ),
    "bench": (
        "training.benchmarks.loading:data",
        "training.benchmarks.planted:planted",
        "training.benchmarks.ablation:ablation",
        "training.benchmarks.membership:membership",
        "training.benchmarks.loop.loop:loop",
        "training.benchmarks.loop.exploring:exploration",
        "training.benchmarks.retraining:retrain",
        "tailorbird.experiments.proof.command:statistics",
        "tailorbird.experiments.running.bench:assignment",
        "tailorbird.experiments.canary.bench:canary",
        "tailorbird.experiments.interleaving.bench:interleaving",
        "tailorbird.experiments.bandits.bench:bandit",
    ),
}
"""Members of a group that another room owns: rooms do not import each other."""


class FlowGroup(click.Group):
    """A group that lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the room that owns ``cmd_name``."""
        if cmd_name not in COMMANDS:
            return None
        command = _imported(COMMANDS[cmd_name][0])
        if isinstance(command, click.Group):
            for guest in GUESTS.get(cmd_name, ()):
                command.add_command(_imported(guest))
        return _unwrapped(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries from the table above."""
        with formatter.section("Commands, in the order of the flow"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=FlowGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tailorbird")
def tailorbird() -> None:
    r"""Tailorbird: events in, a live profile, recommendations that fit this person now.

    \b
    Examples:
        tailorbird demo
        tailorbird ingest --events e.parquet --items i.parquet --mapping m.toml
        tailorbird serve --port 8000
    """
    if any(name.startswith("TAILORBIRD_") for name in os.environ):
        from tailorbird.settings import misspelt

        for name, near in misspelt(os.environ).items():
            click.echo(f"{name} is no setting and changes nothing; did you mean {near}?", err=True)


def _imported(place: str) -> click.Command:
    module, name = place.split(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


def _unwrapped(command: click.Command) -> click.Command:
    r"""Let click see the ``\b`` marks before blocks of examples, which raw docstrings spell as two characters."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        _unwrapped(part)
    return command


_unwrapped(tailorbird)


def main() -> NoReturn:
    """Run the command; a known failure prints what, the value and the remedy, never a traceback."""
    _hide_deprecations()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us with `&` has it ignored
    try:
        code = tailorbird.main(standalone_mode=False, prog_name="tailorbird")
    except TailorbirdError as error:
        click.echo(f"error: {error.what}", err=True)
        if error.remedy:
            click.echo(f"remedy: {error.remedy}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        click.echo("remedy: the path must exist and be writable, and the disk must have room", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _hide_deprecations() -> None:
    """Keep the deprecations of our dependencies off the screen: whoever runs a command cannot mend them, our tests see them."""
    show = warnings.showwarning

    def shown(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, DeprecationWarning):
            show(message, category, *place, **more)

    warnings.showwarning = shown


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
