"""What tests plant: names, addresses, ids and card numbers in every field of events and requests, and whether a text holds one of them."""

from urllib.parse import quote

NAME, MAIL = "Wilhelmina Quackenbush", "wilhelmina.quackenbush@mailbox.example"
USER, COOKIE = "quackenbush-4711", "cookie-of-quackenbush"
ADDRESS, CARD, SEARCH = "203.0.113.77", "4929123456781234", "divorce lawyer nearby"
WORDS = ("quackenbush", "wilhelmina", ADDRESS, CARD, "4929-1234", "divorce lawyer")
"""What must stand nowhere, however it is written: capitals and small letters are alike."""
PAGE = f"https://shop.example/account/{USER}?mail={MAIL}&q={quote(SEARCH)}"
PERSONAL = {
    "name": NAME,
    "email": MAIL,
    "ip": ADDRESS,
    "card": CARD,
    "cardNumber": int(CARD),
    "formatted": "4929-1234-5678-1234",
    "query": SEARCH,
    "url": PAGE,
    MAIL: True,
    f"of {NAME}": 3,
    "deep": {"list": [NAME, {"inner": ADDRESS, MAIL: 1}], CARD: "x"},
    "device": NAME,
    "referrer": PAGE,
    "userAgent": f"Mozilla ({NAME})",
    "locale": MAIL,
    "consent": {"personalization": True, MAIL: True},
    "sealed": NAME,
}
HEADERS = {
    "referer": PAGE,
    "user-agent": f"browser of {NAME}",
    "cookie": f"session={USER}",
    "x-forwarded-for": ADDRESS,
    "x-real-ip": ADDRESS,
}
IDS = {"messageId": f"message of {MAIL}", "sessionId": f"session of {NAME}", "recommendationId": PAGE}


def collected() -> list[dict[str, object]]:
    """A good event of a user, one of a cookie, and one of each way to be refused."""
    good = {
        **IDS,
        "type": "search",
        "itemId": "i1",
        "context": PERSONAL,
        "properties": PERSONAL,
        "value": 3.5,
    }
    wrong: dict[str, object] = {
        "type": NAME,
        "userId": [MAIL],
        "anonymousId": int(CARD),
        "sessionId": {"of": NAME},
        "recommendationId": [PAGE],
        "position": CARD,
        "value": CARD,
        "timestamp": f"on the day of {NAME}",
        "context": NAME,
        "properties": [MAIL],
        MAIL: "an unknown field",
    }
    return [
        {**good, "userId": USER},
        {**good, "messageId": "m2", "userId": MAIL, "anonymousId": COOKIE},
        {**good, "messageId": "m3", "anonymousId": COOKIE},
        {**good, "messageId": "m4", "userId": CARD, "value": float(CARD)},
        {**good, "messageId": "m5", "userId": NAME, "type": "view"},
        *(
            {**good, "messageId": f"w{n}", "userId": USER, name: value}
            for n, (name, value) in enumerate(wrong.items())
        ),
        NAME,  # type: ignore[list-item]
    ]


def asked() -> list[tuple[str, str, dict[str, object] | None]]:
    """Requests, most of which are refused: what is wrong is what must not be repeated."""
    flat = {name: each for name, each in PERSONAL.items() if not isinstance(each, dict)}
    body: dict[str, object] = {"userId": USER, "sessionId": NAME, "context": flat, "numResults": 3}
    odd = {
        "scenario": NAME,
        "numResults": MAIL,
        "filter": f'brand == "{NAME}"',
        "excludeItemIds": [MAIL],
        "cursor": MAIL,
        "itemId": MAIL,
        "boost": [{"filter": MAIL, "by": 2}],
        MAIL: NAME,
    }
    return [
        ("POST", "/v1/recommendations", body),
        ("POST", "/v1/recommendations", {**body, "context": PERSONAL}),
        ("POST", "/v1/recommendations", {"anonymousId": COOKIE, "context": flat}),
        *(("POST", "/v1/recommendations", {**body, name: value}) for name, value in odd.items()),
        ("GET", f"/v1/recommendations/{quote(MAIL)}?numResults=3", None),
        ("GET", f"/v1/recommendations/{USER}?numResults={CARD}&mail={MAIL}", None),
        ("GET", f"/v1/recommendations/{quote(NAME)}/trace", None),
        ("POST", "/v1/rank", {**body, "itemIds": ["i1", MAIL]}),
        ("GET", f"/v1/items/{quote(MAIL)}/similar", None),
        ("GET", f"/v1/nothing/{quote(MAIL)}", None),
        ("PATCH", f"/v1/users/{quote(MAIL)}/merge", {"anonymousId": COOKIE}),
        ("POST", f"/v1/users/{quote(MAIL)}/merge", {"anonymousId": COOKIE}),
        ("DELETE", f"/v1/users/{quote(MAIL)}/merge?anonymousId={COOKIE}", None),
        ("POST", f"/v1/users/{quote(MAIL)}/merge", {"anonymousId": [NAME]}),
    ]


def holding(texts: dict[str, str]) -> dict[str, list[str]]:
    return {
        name: found
        for name, text in texts.items()
        if (found := [word for word in WORDS if word in text.lower()])
    }
