import hashlib
import hmac

import orjson

from tailorbird.triggers.delivery import Delivery, delivery_id, signature
from tests.segments.moves import MOVED, moved


def test_the_id_is_that_of_the_move_and_the_target() -> None:
    first = Delivery.of(MOVED, target="crm", now=1.0)
    again = Delivery.of(moved(reason="other words"), target="crm", now=2.0)
    assert first.id == again.id == delivery_id(MOVED.message_id, "crm")
    assert Delivery.of(MOVED, target="mail", now=1.0).id != first.id
    assert Delivery.of(moved(cause="m2"), target="crm", now=1.0).id != first.id


def test_the_body_says_who_which_segments_and_when_and_nothing_else() -> None:
    delivery = Delivery.of(moved(anonymous_id="a7"), target="crm", now=1.0)
    assert orjson.loads(delivery.body) == {
        "id": delivery.id,
        "type": "segment_move",
        "userId": "ann",
        "from": "browser",
        "to": "luxury-evening",
        "segment": "buys luxury in the evening",
        "rulesEntered": ["big-spender-away"],
        "rulesLeft": [],
        "model": "3",
        "at": "2025-06-15T15:06:40.250000+00:00",
    }
    nobody = orjson.loads(Delivery.of(moved(user_id=None, anonymous_id="a7"), target="crm", now=1.0).body)
    assert (nobody["anonymousId"], "userId" in nobody) == ("a7", False)


def test_the_signature_is_over_the_instant_and_the_body() -> None:
    said = signature(b'{"a":1}', secret="s3cret", at=1_750_000_000.9)
    proof = hmac.new(b"s3cret", b'1750000000.{"a":1}', hashlib.sha256).hexdigest()
    assert said == f"t=1750000000,v1={proof}"
