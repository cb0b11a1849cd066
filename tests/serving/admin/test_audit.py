"""What is read and moved over admin is written down with the caller's key; what cannot be written down is not done."""

from collections.abc import Iterator

import pytest

from tailorbird.access.keys import ADMIN, PRIVACY, id_of
from tailorbird.audit.record import AUDIT_FILE, hash_of, log_of
from tailorbird.privacy.keys.keyring import open_keyring
from tailorbird.privacy.keys.pseudonyms import Pseudonyms
from tests.serving.wrong_keys import put_keys


@pytest.fixture
def audited(operator) -> Iterator[object]:
    """An operator whose workspace has no log yet; none is left to the next."""

    def clear() -> None:
        for path in operator.settings.folder.glob("audit.*"):
            path.unlink()

    operator.settings.folder.mkdir(parents=True, exist_ok=True)
    clear()
    yield operator
    clear()


def test_who_read_whose_profile_stands_in_the_log(audited):
    audited.get("/v1/users/u1/profile")
    keys = put_keys(audited.settings, audited.access)
    token = keys.good[PRIVACY]
    assert (
        audited.call("GET", "/v1/users/a1/profile?anonymous=true", headers={"x-api-key": token}).status_code
        == 200
    )
    assert (
        audited.call("GET", "/v1/users/u1/profile", headers={"x-api-key": keys.wrong["expired"]}).status_code
        == 401
    )
    names = Pseudonyms(open_keyring(audited.settings).pseudonyms)
    assert [(each.who, each.what, each.whom) for each in log_of(audited.settings).entries()] == [
        ("local", "profile.read", hash_of(audited.settings, names.person("u1"))),
        (
            f"key:{id_of(token.encode())}",
            "profile.read",
            hash_of(audited.settings, names.person("a1", anonymous=True)),
        ),
    ]


def test_a_profile_that_cannot_be_written_down_is_not_shown(audited):
    (audited.settings.folder / AUDIT_FILE).write_bytes(b"this is no database" * 1_000)
    response = audited.call("GET", "/v1/users/u1/profile")
    assert response.status_code == 503, response.text
    assert response.json()["type"].endswith("audit-away")


def test_a_promotion_names_the_key_and_the_decision_what_its_holder_calls_themselves(audited):
    token = put_keys(audited.settings, audited.access).good[ADMIN]
    body = {"alias": "audited", "who": "ann", "force": True, "reason": "a drill"}
    moved = audited.call("POST", "/v1/models/2:promote", json=body, headers={"x-api-key": token})
    assert moved.json()["moved"], moved.text
    (entry,) = log_of(audited.settings).entries()
    assert (entry.who, entry.what, entry.whom) == (f"key:{id_of(token.encode())}", "model.promote", "audited")
    assert entry.plain()["detail"]["decision"] == moved.json()["decision"]


def test_who_erased_whom_stands_in_the_log_and_a_dry_run_is_none(audited):
    assert audited.call("DELETE", "/v1/users/gone?dryRun=true").status_code == 200
    assert audited.call("DELETE", "/v1/users/gone").status_code == 202
    gone = Pseudonyms(open_keyring(audited.settings).pseudonyms).person("gone")
    assert [(each.what, each.whom) for each in log_of(audited.settings).entries()] == [
        ("person.erase", hash_of(audited.settings, gone))
    ]
