"""Experiments are read and decided over HTTP as at the terminal."""

from registry.versions.versions import Registry
from serving.http.problems import MEDIA_TYPE
from tests.experiments.deciding.shop import KEY, happen, start

READOUT, DECIDE = f"/v1/experiments/{KEY}/readout", f"/v1/experiments/{KEY}:decide"


def test_a_readout_is_one_object_and_a_decision_promotes_the_winner(operator) -> None:
    start(operator.settings, variants={"usual": {}, "varied": {"version": "1"}})
    happen(operator.settings, people=300)
    found = operator.get(READOUT)
    assert (found["experiment"], found["units"], found["control"]) == (KEY, 300, "usual")
    assert found["verdict"]
    done = operator.call("POST", DECIDE, json={"winner": "varied", "reason": "more people buy", "who": "ada"})
    assert done.status_code == 200, done.text
    assert done.json()["state"] == "decided"
    assert done.json()["promotion"]["version"] == 1
    assert Registry(operator.settings).version("champion").version == 1
    told = operator.get("/v1/decisions")["decisions"][0]
    assert told["who"] == "ada"
    assert found["verdict"].split(",")[0] in told["why"]
    again = operator.call("POST", DECIDE, json={"reason": "no"})
    assert again.status_code == 409


def test_what_is_unknown_or_empty_is_a_problem_in_words(operator) -> None:
    unknown = operator.call("GET", READOUT)
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == MEDIA_TYPE.decode()
    start(operator.settings)
    empty = operator.call("GET", READOUT)
    assert empty.status_code == 422
    assert "nobody is in experiment" in empty.json()["detail"]
    for body in ({"winner": "usual"}, {"winner": "best", "reason": "x"}, {"reason": ""}):
        assert operator.call("POST", DECIDE, json=body).status_code == 422
    assert operator.call("POST", DECIDE, json={"reason": "nobody came"}).json()["winner"] is None
