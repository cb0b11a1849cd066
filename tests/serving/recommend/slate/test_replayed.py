"""``tailorbird ope --arm``: what another arm would have earned, asked of the answers that people got."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from tailorbird import cli
from tailorbird.errors import UsageError
from tailorbird.experiments.arm import CHAMPION, Arm, SlateSettings
from tailorbird.experiments.declared import ARMS_FILE
from tailorbird.experiments.off_policy.slates import SlateLog, evaluate_slates
from tailorbird.exposures.learned import DAY, read_exposures, read_followed
from tailorbird.slate.exploration import Exploration
from training.evaluation import replayed
from training.evaluation.replayed import figures_of, slates_of_arm, twin_off_policy

PATH = "/v1/recommendations"
WORTH = {"click": 1.0}


def served(make_world, exploration: Exploration, *, people: int = 6, answers: int = 4):
    """A shop whose champion explores; everybody clicks i0 wherever it stands, after a visit of their own."""
    world = make_world()
    slate = SlateSettings(max_category_share=1.0, exploration=exploration)
    world.declared = [Arm(CHAMPION, CHAMPION, slate)]
    world.check()
    for person in range(people):
        for number in range(answers):
            world.clock += 1.0
            answer = world.post(PATH, {"userId": f"guest-{person}", "numResults": 3}).json()
            click = {
                "messageId": f"c{person}-{number}",
                "type": "click",
                "userId": f"other-{person}",
                "itemId": "i0",
                "recommendationId": answer["recommendationId"],
            }
            world.post("/v1/events", {"batch": [click]})
    world.stored()
    (world.settings.folder / ARMS_FILE).write_text(
        '[plain]\nalias = "champion"\nmax_category_share = 1.0\n'
        '[pots]\nalias = "champion"\nrules = {categories = ["pots"]}\n'
    )
    return world


def test_what_was_shown_has_the_chance_that_the_arm_gives_it(make_world) -> None:
    world = served(make_world, Exploration(uniform=0.5))
    log = slates_of_arm(world.settings, "plain", places=2, most=100, worth=WORTH)
    assert log.notes == ()
    assert log.propensities.shape == log.chances.shape == log.rewards.shape == (24, 2)
    shown = {each.recommendation_id: each for each in world.stored()}
    assert set(log.chances.ravel().tolist()) == {0.0, 1.0}
    first = [each.items[0] == "i0" for each in sorted(shown.values(), key=lambda each: each.instant)]
    assert log.chances[:, 0].tolist() == [float(each) for each in first]
    assert log.rewards.sum() == sum("i0" in each.items[:2] for each in shown.values())
    nothing = slates_of_arm(world.settings, "pots", places=2, most=100, worth=WORTH)
    assert nothing.chances.mean() < log.chances.mean()


def test_the_command_estimates_or_says_why_not(make_world, monkeypatch: pytest.MonkeyPatch) -> None:
    world = served(make_world, Exploration(), answers=6)
    monkeypatch.setenv("TAILORBIRD_HOME", str(world.settings.home))
    monkeypatch.setenv("TAILORBIRD_MLRUNS", str(world.settings.mlruns))
    ask = ["ope", "--workspace", world.settings.workspace, "--places", "2", "--json"]
    done = CliRunner().invoke(cli.tailorbird, [*ask, "--arm", "plain"])
    assert done.exit_code == 0, (done.output, done.exception)
    refused = CliRunner().invoke(cli.tailorbird, [*ask, "--arm", "pots"])
    assert refused.exit_code == 1, refused.output
    assert "hardly ever shows what the arm would" in refused.exception.what


def test_an_unknown_arm_and_one_that_answered_alone_are_refused(make_world) -> None:
    world = served(make_world, Exploration(), people=1, answers=1)
    with pytest.raises(UsageError, match="no arm 'x'"):
        slates_of_arm(world.settings, "x", places=2, most=100, worth=WORTH)
    with pytest.raises(UsageError, match="0 answers of other arms"):
        slates_of_arm(world.settings, CHAMPION, places=2, most=100, worth=WORTH)


def test_answers_that_the_arms_model_may_have_learned_from_are_left_out(make_world) -> None:
    world = served(make_world, Exploration(uniform=0.5))
    instants = sorted(each.instant for each in world.stored())
    world.point(world.register(learned_until=instants[-4]), "newer")
    (world.settings.folder / ARMS_FILE).write_text('[newer]\nalias = "newer"\nmax_category_share = 1.0\n')
    log = slates_of_arm(world.settings, "newer", places=2, most=100, worth=WORTH)
    assert len(log) == 3
    assert log.notes == ("21 answers left out: they are from before the arm's model was trained",)
    world.point(world.register(learned_until=instants[-1], padding=1), "newer")
    with pytest.raises(UsageError, match="0 answers of other arms"):
        slates_of_arm(world.settings, "newer", places=2, most=100, worth=WORTH)


def test_a_model_is_asked_of_answers_that_it_has_not_learned_from(
    make_world, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        replayed, "PLACES", 1
    )  # of a dozen items, one that could not be shown then weighs too much
    world = served(make_world, Exploration(uniform=0.5), people=20)
    (world.settings.folder / ARMS_FILE).write_text(
        "[champion]\nmax_category_share = 1.0\n[champion.exploration]\nuniform = 0.5\n"
    )
    model = world.registry.version(CHAMPION).open().model
    found = twin_off_policy(world.settings, model, 0.0)
    assert found["slates"] == 80, found
    assert "low" in found, found
    assert found["low"] < found["logged"] < found["high"]  # it is the one that answered
    instants = sorted(each.instant for each in world.stored())
    assert twin_off_policy(world.settings, model, instants[39])["slates"] == 40
    nothing = twin_off_policy(world.settings, model, instants[-1])
    assert nothing == {"refusal": "0 answers of other arms can be asked again"}
    later = read_exposures(world.settings, most=100, start=instants[40])
    assert [each.instant for each in later] == instants[40:]
    followed = {each.recommendation_id for each in later}
    clicks = {each[0] for each in read_followed(world.settings, types=["click"], start=instants[40])}
    assert followed <= clicks
    assert not list(read_followed(world.settings, types=["click"], start=instants[-1] + 2 * DAY))


def test_what_cannot_be_read_refuses_no_version(make_world) -> None:
    world = served(make_world, Exploration(uniform=0.5), people=1, answers=1)
    model = world.registry.version(CHAMPION).open().model
    (world.settings.folder / ARMS_FILE).write_text("[champion]\nmax_category_share = 7.0\n")
    assert "max_category_share" in twin_off_policy(world.settings, model, 0.0)["refusal"]
    (world.settings.folder / ARMS_FILE).unlink()
    with closing(sqlite3.connect(world.settings.folder / "exposures.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "exposures.db" in twin_off_policy(world.settings, model, 0.0)["refusal"]


def test_figures_that_are_no_numbers_tell_nothing() -> None:
    rewards = np.random.default_rng(0).random((200, 1))
    propensities = np.ones((200, 1))
    assert "value" in figures_of(evaluate_slates(SlateLog(propensities, np.ones((200, 1)), rewards)))
    propensities[0] = np.nan
    found = figures_of(evaluate_slates(SlateLog(propensities, np.ones((200, 1)), rewards)))
    assert found == {"refusal": "a chance that was stored is no number", "slates": 200}
