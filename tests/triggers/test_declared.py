import pytest

from tailorbird.errors import UsageError
from tailorbird.triggers.declared import TRIGGERS_FILE, TriggersFile, read_triggers, triggers_of
from tailorbird.triggers.trigger import Target
from tests.segments.moves import moved

CRM = {"url": "https://crm.example.com/hooks", "secret_env": "CRM_SECRET"}
MAIL = {"url": "https://mail.example.com", "secret_env": "MAIL_SECRET", "per_second": 0.5}


def declared(*triggers: dict[str, object]):
    return triggers_of({"targets": {"crm": CRM, "mail": MAIL}, "triggers": triggers}, where="triggers.toml")


def test_a_target_has_the_pace_that_nobody_chose_otherwise() -> None:
    found = declared({"target": "crm", "to": ["vip"]})
    assert found.targets["crm"] == Target("crm", CRM["url"], "CRM_SECRET", 5.0, 8, 10.0)
    assert found.targets["mail"].per_second == 0.5


@pytest.mark.parametrize(
    ("trigger", "calls"),
    [
        ({"to": ["luxury-evening"]}, True),
        ({"to": ["browser", "luxury-evening"]}, True),
        ({"to": ["browser"]}, False),
        ({"from": ["browser"]}, True),
        ({"from": ["luxury-evening"]}, False),
        ({"from": ["browser"], "to": ["luxury-evening"]}, True),
        ({"from": ["hunter"], "to": ["luxury-evening"]}, False),
        ({"to": ["*"]}, True),
        ({"rule": "big-spender-away"}, True),
        ({"rule": "big-spender-away", "on": "enter"}, True),
        ({"rule": "big-spender-away", "on": "leave"}, False),
        ({"rule": "other"}, False),
    ],
)
def test_a_move_calls_whom_it_concerns(trigger: dict[str, object], calls: bool) -> None:
    assert declared({"target": "crm", **trigger}).called_by(moved()) == (["crm"] if calls else [])


def test_rules_alone_are_no_move_to_a_segment() -> None:
    found = declared({"target": "crm", "to": ["*"]}, {"target": "mail", "rule": "gone", "on": "leave"})
    rules = moved(to_segment="browser", rules_entered=(), rules_left=("gone",))
    assert found.called_by(rules) == ["mail"]
    assert found.called_by(moved(to_segment="")) == []  # of no segment any more is not in any


def test_a_target_is_called_once_however_many_triggers_say_so() -> None:
    found = declared(
        {"target": "mail", "to": ["*"]},
        {"target": "crm", "from": ["*"]},
        {"target": "mail", "rule": "big-spender-away"},
    )
    assert found.called_by(moved()) == ["mail", "crm"]
    assert [each.words for each in found.triggers] == [
        "enters any segment",
        "leaves any segment",
        "enters rule big-spender-away",
    ]


@pytest.mark.parametrize(
    ("target", "trigger", "said"),
    [
        ({"retries": 3}, {}, r"targets\.crm\.retries = 3: Extra inputs"),
        ({}, {"segment": "vip"}, r"triggers\.0\.segment = 'vip': Extra inputs"),
        ({"per_second": 0}, {}, r"targets\.crm\.per_second = 0"),
        ({"attempts": 0}, {}, r"targets\.crm\.attempts = 0"),
        ({"secret_env": "my secret"}, {}, r"targets\.crm\.secret_env = 'my secret'"),
        ({"url": "http://crm.example.com"}, {}, r"targets\.crm\.url: .*is not encrypted: https is needed"),
        ({"url": "https://me:pw@crm.example.com"}, {}, r"url: 'https://me:\*\*\*@crm.*holds a user"),
        ({"url": "crm.example.com"}, {}, r"url: 'crm\.example\.com' is no address"),
        ({}, {"target": "sms"}, r"triggers\.0: target 'sms' is not among the declared ones \(crm\)"),
        ({}, {"to": None}, r"nothing would call 'crm'"),
        ({}, {"rule": "away"}, r"rule and segments \(to, from\) are two triggers"),
        ({}, {"on": "leave"}, r"on = 'leave' goes with rule"),
        ({}, {"to": []}, r"triggers\.0\.to = \[\]"),
    ],
)
def test_what_is_wrong_is_named(target: dict[str, object], trigger: dict[str, object], said: str) -> None:
    values = {
        "targets": {"crm": CRM | target},
        "triggers": [{"target": "crm", "to": ["vip"]} | trigger],
    }
    with pytest.raises(UsageError, match=said):
        triggers_of(values, where="triggers.toml")
    with pytest.raises(UsageError, match="senders = 1: Extra inputs"):
        triggers_of({"senders": 1}, where="triggers.toml")


def test_a_file_that_gets_wrong_leaves_what_held_before(tmp_path) -> None:
    clock = [0.0]
    file = TriggersFile(tmp_path, clock=lambda: clock[0])
    assert (file.exists, file.declared, file.trouble) == (False, None, "")
    path = tmp_path / TRIGGERS_FILE
    path.write_text('[targets.crm]\nurl = "https://crm.example.com"\nsecret_env = "S"\n')
    assert file.declared is None  # at most one look a second
    clock[0] = 1.0
    assert list(file.declared.targets) == ["crm"]
    path.write_text("[targets.crm]\nurl = ")
    clock[0] = 2.0
    assert list(file.declared.targets) == ["crm"]
    assert "cannot be read" in file.trouble
    path.unlink()
    clock[0] = 3.0
    assert (file.exists, file.declared, file.trouble) == (False, None, "")


def test_a_file_that_was_wrong_from_the_beginning_declares_nothing_yet(tmp_path) -> None:
    (tmp_path / TRIGGERS_FILE).write_text("[[triggers]]\n")
    file = TriggersFile(tmp_path, clock=lambda: 0.0)
    assert (file.exists, file.declared) == (True, None)
    assert "triggers.0.target" in file.trouble
    with pytest.raises(UsageError):
        read_triggers(tmp_path / TRIGGERS_FILE)
