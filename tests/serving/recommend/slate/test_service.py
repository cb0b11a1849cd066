"""The recommend application over HTTP: answers, bad input, fallbacks, pages, exposures."""

import asyncio
from dataclasses import replace

import pytest

import serving.recommend.slate.service as service_module
from feature_repo.layout import online_file
from serving.http.schemas import Problem, Recommendations
from tailorbird.experiments.arm import CHAMPION, Arm, SlateSettings
from tailorbird.features.demographics import NOBODY
from tailorbird.features.vectors.user import user_vector
from tailorbird.slate.exploration import Exploration
from tests.slate import toy

PATH = "/v1/recommendations"


def ids(response):
    return [item["itemId"] for item in response.json()["items"]]


def test_an_answer_follows_its_schema(world):
    response = world.post(PATH, {"userId": "ann", "numResults": 3, "explain": True})
    assert response.status_code == 200
    answer = Recommendations.model_validate(response.json())
    assert [item.item_id for item in answer.items] == ["i0", "i1", "i2"]
    assert (answer.model.name, answer.model.version, answer.arm) == ("tailorbird-toy", "1", "champion")
    assert answer.items[0].reasons == ["number 1 of what is popular (popularity)"]


def test_the_shortcut_answers_like_the_post(world):
    assert ids(world.call("GET", f"{PATH}/ann?numResults=4")) == ids(
        world.post(PATH, {"userId": "ann", "numResults": 4})
    )


def test_ids_with_slashes_and_umlauts_are_one_argument(world):
    response = world.call("GET", f"{PATH}/a%2Fb%20%C3%BC?numResults=1")
    assert response.status_code == 200
    assert world.stored()[0].user_id == world.door.names.user("a/b ü")


def test_an_unknown_user_gets_items_and_a_mark(world):
    answer = world.post(PATH, {"userId": "never-seen", "numResults": 2}).json()
    assert len(answer["items"]) == 2
    assert answer["fallback"] == "cold_start"


def test_nobody_in_particular_is_answered_too(world):
    assert len(world.post(PATH, {}).json()["items"]) == 11


def test_more_than_the_catalogue_is_answered_partially(world):
    answer = world.post(PATH, {"userId": "ann", "numResults": 1_000}).json()
    assert len(answer["items"]) == 11
    assert answer["partial"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[]", 422, "object"),
        (b"null", 422, "object"),
        (b'{"numResults": 0}', 422, "/numResults"),
        (b'{"numResults": 1001}', 422, "/numResults"),
        (b'{"numResults": %s}' % (b"9" * 29), 422, "/numResults"),
        (b'{"filter": {"categories": [%s"a"]}}' % (b'"a",' * 100), 422, "/filter/categories"),
        (b'{"filter": {"brands": [%s"a"]}}' % (b'"a",' * 100), 422, "/filter/brands"),
        (b'{"filter": {"brands": ["%s"]}}' % (b"a" * 257), 422, "/filter/brands/0"),
        (b'{"context": {"a": %s0%s}}' % (b"[" * 9, b"]" * 9), 422, "/context/a"),
        (b'{"numResults": -1}', 422, "got -1"),
        (b'{"numResults": "5"}', 422, '"5"'),
        (b'{"numResults": true}', 422, "/numResults"),
        (b'{"numResults": 2.5}', 422, "2.5"),
        (b'{"userId": 7}', 422, "/userId"),
        (b'{"userId": ""}', 422, "/userId"),
        (b'{"userid": "ann"}', 422, "/userid"),
        (b'{"user_id": "ann"}', 422, "/user_id"),
        (b'{"context": {"a": Infinity}}', 400, "Infinity is no number"),
        (b'{"context": {"a": NaN, "b": "NaN"}}', 400, "NaN is no number"),
        (b'{"excludeItemIds": "i1"}', 422, "/excludeItemIds"),
        (b'{"filter": {"minPrice": -1}}', 422, "/filter/minPrice"),
        (b'{"filter": {"colour": "red"}}', 422, "/filter/colour"),
        (b'{"cursor": "nonsense"}', 404, "nonsense"),
        (b'{"cursor": "\xc3\xbc"}', 404, "cursor"),
        (b'{"userId": "\\ud800"}', 400, "not JSON"),
        (b'{"context": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", 400, "not JSON"),
    ],
)
def test_bad_input_is_named_and_never_a_5xx(world, body, status, words):
    response = world.call("POST", PATH, content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate(response.json())
    assert words in problem.detail
    assert problem.remedy


@pytest.mark.parametrize(
    "query",
    [
        "numResults=" + "9" * 29,
        "numResults=1001",
        "numResults=0",
        "numResults=-3",
        "numResults=ten",
        "numResults=",
        "k=5",
        "userId=bob",
        "numResults=5&explain=true",
    ],
)
def test_a_bad_query_string_is_a_422(world, query):
    response = world.call("GET", f"{PATH}/ann?{query}")
    assert response.status_code == 422
    assert response.json()["remedy"]


def test_a_word_that_is_no_number_elsewhere_is_a_word(world):
    assert world.post(PATH, {"userId": "Infinity", "context": {"a": "NaN"}}).status_code == 200


def test_a_body_past_the_limit_is_a_413(world):
    response = world.call("POST", PATH, content=b" " * 10_001)
    assert response.status_code == 413
    assert "10,000 bytes" in response.json()["detail"]


def test_a_body_that_comes_in_pieces_is_read_whole_or_refused(world):
    async def pieces(sizes):
        for size in sizes:
            yield b" " * size
        yield b'{"numResults": 1}'

    assert len(ids(world.call("POST", PATH, content=pieces([4_000, 4_000])))) == 1
    assert world.call("POST", PATH, content=pieces([6_000, 6_000])).status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", PATH, 405), ("GET", "/v1/nothing", 404)])
def test_wrong_paths_and_methods_are_problems(world, method, path, status):
    response = world.call(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_an_unknown_item_of_the_query_changes_nothing(world):
    assert ids(world.post(PATH, {"userId": "ann", "itemId": "nobody", "numResults": 2})) == ["i0", "i1"]


def test_similar_items_of_an_unknown_item_are_a_404(world):
    response = world.call("GET", "/v1/items/nobody/similar")
    assert response.status_code == 404
    assert '"nobody"' in response.json()["detail"]
    of_nobody = world.call(
        "GET", "/v1/items/i6/similar?numResults=2"
    )  # popularity is this model's only source
    assert len(ids(of_nobody)) == 2
    assert of_nobody.json()["fallback"] == "popularity"


def test_rank_orders_the_given_items(world):
    response = world.post("/v1/rank", {"userId": "ann", "itemIds": ["i9", "i2", "i5"]})
    assert ids(response) == ["i2", "i5", "i9"]
    assert world.post("/v1/rank", {"userId": "ann", "itemIds": []}).status_code == 422


def test_a_broken_model_is_a_marked_fallback(world):
    world.serve(toy.recommender(toy.BrokenStages()))
    answer = world.post(PATH, {"userId": "ann", "numResults": 2}).json()
    assert [item["itemId"] for item in answer["items"]] == ["i7", "i5"]
    assert answer["fallback"] == "popularity"


def all_at_once(world, users):
    """Requests that wait together and so become one batch."""

    async def ask():
        async with world.client() as client:
            asked = [client.post(PATH, json={"userId": user, "numResults": 2}) for user in users]
            return await asyncio.gather(*asked)

    return dict(zip(users, asyncio.run(ask()), strict=True))


def bad_profile(world, monkeypatch):
    def read_torn(user_keys):
        return [
            replace(state, had_set=None) if state.user_key == world.key("user:bea") else state
            for state in read(user_keys)
        ]

    read = world.features.online_read
    monkeypatch.setattr(world.features, "online_read", read_torn)


def bad_demographics(world, monkeypatch):
    def look_up(key):
        if key == world.key("user:bea"):
            raise ValueError("no such person")
        return NOBODY

    monkeypatch.setattr(world.drawer, "_demographics", look_up)


def bad_json(world, monkeypatch):
    def write(drawn):
        if drawn.visit.user_key == world.key("user:bea") and drawn.profile_read:
            raise TypeError("not JSON")
        return real(drawn)

    real = service_module._answer
    monkeypatch.setattr(service_module, "_answer", write)


def bad_scores(world, monkeypatch):
    class Victim(toy.BrokenStages):
        victim = world.key("user:bea")

    world.serve(toy.recommender(Victim()))


@pytest.mark.parametrize("break_it", [bad_profile, bad_demographics, bad_json, bad_scores])
def test_one_request_that_fails_costs_its_neighbours_nothing(world, monkeypatch, break_it):
    break_it(world, monkeypatch)
    users = [f"u{n}" for n in range(7)] + ["bea"] + [f"u{n}" for n in range(7, 15)]
    answers = all_at_once(world, users)
    assert {response.status_code for response in answers.values()} == {200}
    failed = answers.pop("bea")
    assert {tuple(ids(response)) for response in answers.values()} == {("i0", "i1")}
    assert ids(failed) == ["i7", "i5"]
    assert failed.json()["fallback"] == ("popularity" if break_it is bad_scores else "no_profile")
    if break_it is not bad_scores:
        users.remove("bea")  # nobody looked at what she refuses
    shown = [each.user_id for each in world.stored()]
    assert len(shown) == len(answers) + 1
    assert sorted(filter(None, shown)) == sorted(map(world.door.names.user, users))


def test_an_absent_feature_store_is_a_marked_answer(world):
    with world.away(online_file(world.settings.feature_folder)):
        answer = world.post(PATH, {"userId": "ann", "numResults": 2}).json()
        assert len(answer["items"]) == 2
        assert (answer["fallback"], answer["partial"]) == ("no_profile", True)
        assert world.call("GET", "/health/ready").json()["status"] == "degraded"
    world.clock += 2  # the pause after a failure is over
    assert world.post(PATH, {"userId": "ann", "numResults": 2}).json()["fallback"] == "cold_start"
    assert [each.user_id for each in world.stored()] == [None, world.door.names.user("ann")]


def test_pages_follow_one_another_without_repeats(world):
    cursor, shown = None, []
    for _ in range(6):
        answer = world.post(PATH, {"userId": "ann", "numResults": 4, "cursor": cursor}).json()
        shown += [item["itemId"] for item in answer["items"]]
        cursor = answer["cursor"]
        if cursor is None:
            break
    assert len(shown) == len(set(shown)) == 11
    assert [each.first_position for each in world.stored()] == [0, 4, 8]


def test_every_answer_leaves_one_exposure(world):
    answer = world.post(PATH, {"userId": "ann", "sessionId": "s", "numResults": 2, "scenario": "cart"}).json()
    world.post(PATH, {"numResults": 1})
    known, visitor = world.stored()
    names = world.door.names
    assert known.recommendation_id == answer["recommendationId"]
    assert (known.user_id, known.anonymous_id, known.session_id) == (
        names.user("ann"),
        None,
        names.session("s"),
    )
    assert known.items == ("i0", "i1")
    assert list(known.positions) == [0, 1]
    assert (known.ranks >= 0).sum(axis=1).tolist() == [1, 1]
    assert known.source_names[int(known.ranks[0].argmax())] == "popularity"
    assert known.propensities.tolist() == [1.0, 1.0]
    assert (known.model_version, known.scenario, known.arm) == ("1", "cart", "champion")
    offline = user_vector(world.profile("user:ann"), now=known.scored_at)
    assert known.user_vector == pytest.approx(offline, rel=2**-11)
    assert known.inputs.user == pytest.approx(offline, abs=1e-6)
    assert visitor.user_id is None
    assert visitor.user_key == f"anon:{visitor.recommendation_id}"


def test_an_arm_that_explores_logs_the_propensity_of_each_draw_also_from_the_cache(make_world):
    world = make_world(cache_seconds=10)
    world.declared = [Arm(CHAMPION, CHAMPION, SlateSettings(exploration=Exploration(uniform=0.5)))]
    world.check()
    answers = [world.post(PATH, {"userId": "ann", "numResults": 3}).json() for _ in range(20)]
    shown = {tuple(item["itemId"] for item in answer["items"]) for answer in answers}
    assert len(shown) > 3
    stored = {each.recommendation_id: each for each in world.stored()}
    for answer in answers:
        exposure = stored[answer["recommendationId"]]
        assert exposure.items == tuple(item["itemId"] for item in answer["items"])
        for open_, propensity in zip((11, 10, 9), exposure.propensities.tolist(), strict=True):
            drawn = 0.5 / open_  # uniformly, of what is not above
            assert propensity in (pytest.approx(drawn), pytest.approx(0.5 + drawn))


def test_health_and_openapi_name_what_there_is(world):
    ready = world.call("GET", "/health/ready").json()
    assert ready == {
        "status": "ready",
        "workspace": "toy",
        "workspaceKey": world.settings.workspace_key,
        "model": {"name": "tailorbird-toy", "version": "1"},
        "arms": [{"name": "champion", "alias": "champion", "version": "1"}],
        "problems": [],
    }
    assert world.call("GET", "/health/live").json() == {"status": "live"}
    paths = world.call("GET", "/openapi.json").json()["paths"]
    assert {PATH, f"{PATH}/{{user_id}}", "/v1/rank", "/v1/items/{item_id}/similar", "/v1/events"} <= set(
        paths
    )


def test_metrics_count_answers(world):
    world.post(PATH, {"numResults": 1})
    text = world.call("GET", "/metrics").text
    assert 'tailorbird_requests_total{route="recommend",status="200"}' in text
