import json
import time
from contextlib import closing

import pytest
from click.testing import CliRunner, Result

from tailorbird.cli import tailorbird
from tailorbird.streams.position import Position
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.delivery import Delivery
from tests.segments.moves import moved
from tests.serving.triggers.conftest import World
from tests.serving.triggers.subscriber import Subscriber, wait_until


@pytest.fixture
def run(world: World, subscriber: Subscriber):
    def command(*argv: str) -> Result:
        environment = {
            "TAILORBIRD_HOME": str(world.settings.home),
            "TAILORBIRD_WORKSPACE": world.settings.workspace,
            "TAILORBIRD_TRIGGER_ORIGINS": subscriber.origin(),
        }
        return CliRunner().invoke(tailorbird, ["triggers", *argv], env=environment)

    return command


def give_up(world: World, *causes: str, target: str = "crm") -> list[str]:
    deliveries = [Delivery.of(moved(cause=cause), target=target, now=1.0) for cause in causes]
    with closing(world.queue()) as queue:
        queue.follow(queue.position or Position({}), deliveries)
        for each in deliveries:
            queue.give_up(each, reason="answered 500", now=time.time())
    return [each.id for each in deliveries]


def test_targets_are_listed_with_what_calls_them(world, subscriber, run) -> None:
    assert json.loads(run("list", "--json").stdout) == {"targets": [], "problems": []}
    world.declare(crm=subscriber.origin() + "/hooks")
    give_up(world, "m1")
    listed = run("list", "--json")
    (crm,) = json.loads(listed.stdout)["targets"]
    assert (crm["name"], crm["url"]) == ("crm", subscriber.origin() + "/hooks")
    assert (crm["calls"], crm["waiting"], crm["dead"]) == (["enters any segment"], 0, 1)
    assert listed.exit_code == 0
    shown = run("list")
    assert "enters any segment" in shown.output
    world.declare(crm="https://unlisted.example")
    assert "is not among" in run("list").output


def test_a_broken_file_is_a_problem_in_words(world, subscriber, run) -> None:
    world.declare(crm=subscriber.origin())
    (world.settings.folder / TRIGGERS_FILE).write_text("[targets.crm]\nurl = 1")
    assert "targets.crm.url" in json.loads(run("list", "--json").stdout)["problems"][0]


def test_dead_letters_are_shown_and_replayed(world, subscriber, run) -> None:
    world.declare(crm=subscriber.origin(), mail=subscriber.origin())
    assert json.loads(run("dead", "--json").stdout) == {"dead": []}
    first, second = give_up(world, "m1", "m2")
    give_up(world, "m1", target="mail")
    shown = json.loads(run("dead", "--target", "crm", "--json").stdout)["dead"]
    assert {each["id"] for each in shown} == {first, second}
    assert shown[0]["body"]["to"] == "luxury-evening"
    assert (shown[0]["attempts"], shown[0]["reason"]) == (1, "answered 500")
    assert len(json.loads(run("dead", "--limit", "1", "--json").stdout)["dead"]) == 1
    assert json.loads(run("replay", "--id", first, "--json").stdout) == {"replayed": 1}
    assert world.waiting("crm") == 1
    refused = run("replay", "--id", first)
    assert "no dead letter has the id" in str(refused.exception)
    world.start()
    wait_until(lambda: subscriber.calls)
    assert run("replay", "--target", "crm").stdout == "replayed: 1\n"
    wait_until(lambda: set(subscriber.ids()) == {first, second})


def test_a_subscriber_can_be_tried(world, subscriber, run) -> None:
    world.declare(crm=subscriber.origin() + "/hooks", other="https://unlisted.example")
    tried = json.loads(run("test", "crm", "--json").stdout)
    assert (tried["target"], tried["status"]) == ("crm", 200)
    (call,) = subscriber.calls
    assert (call.signed(), call.json["type"], call.json["id"]) == (True, "test", call.id)
    subscriber.answer = lambda call: (401, {})
    assert "did not take it: answered 401" in str(run("test", "crm").exception)
    assert "https://unlisted.example is not among" in str(run("test", "other").exception)
    assert "no target 'sms'" in str(run("test", "sms").exception)
