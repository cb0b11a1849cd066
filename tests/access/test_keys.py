"""A key opens what it names, as long as it holds; its secret is nowhere but with its owner."""

import dataclasses

import pytest

from tailorbird.access.keys import (
    Key,
    Secret,
    digest_of,
    id_of,
    limits_of,
    new_token,
    problems_of,
    token_with,
)

NOW = 1_000_000.0


def key(*secrets: Secret) -> Key:
    return Key(id="0" * 16, name="n", scopes=frozenset({"collect"}), secrets=secrets, created=NOW)


def test_a_token_names_its_key_and_no_two_are_alike():
    identity, token = new_token()
    assert id_of(token.encode()) == identity
    assert len({token_with(identity) for _ in range(100)}) == 100
    for wrong in (
        "",
        "tb_",
        token[:-1],
        token + "x",
        token.replace("tb_", "tc_"),
        token.upper(),
        f" {token}",
    ):
        assert id_of(wrong.encode()) == "", wrong


def test_the_same_token_is_another_in_another_workspace():
    _, token = new_token()
    assert (
        digest_of(token.encode(), workspace="shop").hex() != digest_of(token.encode(), workspace="sho").hex()
    )
    assert token.rsplit("_", 1)[1] not in digest_of(token.encode(), workspace="shop").hex()


def test_a_rotation_ends_the_old_secrets_and_lengthens_none():
    once = key(Secret("a")).rotated("b", now=NOW, overlap_seconds=60)
    assert once.secrets == (Secret("b"), Secret("a", NOW + 60))
    twice = once.rotated("c", now=NOW + 10, overlap_seconds=600)
    assert twice.secrets == (Secret("c"), Secret("b", NOW + 610), Secret("a", NOW + 60))
    assert twice.rotated("d", now=NOW + 70, overlap_seconds=0).secrets == (Secret("d"),)
    assert twice.secret_of("b") == Secret("b", NOW + 610)
    assert twice.secret_of("e") is None


def test_limits_are_read_the_shortest_first():
    assert [
        (each.amount, each.get_expiry()) for each in limits_of(("1000/day", "5/second;20/30 seconds"))
    ] == [
        (5, 1),
        (20, 30),
        (1000, 86_400),
    ]


@pytest.mark.parametrize(
    ("scopes", "origins", "limits", "said"),
    [
        ((), (), (), "without a scope"),
        (("collect", "root"), (), (), "'root' is none of"),
        (("collect", "privacy"), ("https://shop.example",), (), "cannot have 'privacy'"),
        (("collect",), ("https://shop.example/",), (), "is no origin"),
        (("collect",), ("https://Shop.example",), (), "is no origin"),
        (("collect",), (), ("often",), "a limit reads as"),
        (("collect", "recommend"), ("https://shop.example:8443",), ("5/minute",), ""),
    ],
)
def test_keys_that_make_no_sense_are_refused(scopes, origins, limits, said):
    problem = problems_of(scopes=scopes, origins=origins, limits=limits)
    assert said in problem
    assert bool(problem) == bool(said)


def test_a_key_never_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        key(Secret("a")).name = "other"
