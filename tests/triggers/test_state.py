from pathlib import Path

import pytest

from tailorbird.settings import Settings, load_settings
from tailorbird.streams.position import Position
from tailorbird.triggers.declared import TRIGGERS_FILE
from tailorbird.triggers.delivery import Delivery
from tailorbird.triggers.health import check_triggers
from tailorbird.triggers.queue import DeliveryQueue
from tests.segments.moves import moved

FILE = """
[targets.crm]
url = "https://crm.example.com/hooks?token=abc"
secret_env = "CRM_SECRET"
[[triggers]]
target = "crm"
to = ["vip"]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load_settings(home=tmp_path, workspace="test", trigger_origins="https://crm.example.com")
    made.folder.mkdir()
    return made


def declare(settings: Settings, text: str) -> None:
    (settings.folder / TRIGGERS_FILE).write_text(text)


def dead_letter(settings: Settings, target: str) -> None:
    queue = DeliveryQueue(settings.folder)
    queue.follow(Position({0: 1}), [Delivery.of(moved(), target=target, now=1.0)])
    queue.give_up(queue.due(target, now=1.0, limit=1)[0], reason="answered 500", now=2.0)
    queue.close()


def test_without_a_file_nobody_is_called_and_that_is_fine(settings: Settings) -> None:
    (finding,) = check_triggers(settings)
    assert (finding.state, finding.says) == ("ok", "no such file: moves call nobody")
    assert list(settings.folder.iterdir()) == []


def test_a_broken_file_is_broken(settings: Settings) -> None:
    declare(settings, FILE + "form = 1\n")
    (finding,) = check_triggers(settings)
    assert finding.state == "broken"
    assert "triggers.0.form = 1: Extra inputs" in finding.says


def test_the_doctor_says_what_keeps_a_target_from_being_called(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(settings, FILE)
    monkeypatch.delenv("CRM_SECRET", raising=False)
    (finding,) = check_triggers(settings)
    assert (finding.state, finding.says) == ("broken", "crm: the secret CRM_SECRET is not set")
    assert "abc" not in finding.points_at
    monkeypatch.setenv("CRM_SECRET", "s")
    assert [each.state for each in check_triggers(settings)] == ["ok"]
    unlisted = settings.model_copy(update={"trigger_origins": "https://other.example"})
    (finding,) = check_triggers(unlisted)
    assert "https://crm.example.com is not among TAILORBIRD_TRIGGER_ORIGINS" in finding.says


def test_dead_letters_deserve_a_look_and_those_of_nobody_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_SECRET", "s")
    declare(settings, FILE)
    dead_letter(settings, "crm")
    (finding,) = check_triggers(settings)
    assert (finding.state, finding.facts["dead"]) == ("warning", 1)
    assert "tailorbird triggers replay" in finding.remedy
    dead_letter(settings, "gone")
    assert [each.state for each in check_triggers(settings)] == ["warning", "broken"]
    assert "gone: is not declared" in check_triggers(settings)[1].says
