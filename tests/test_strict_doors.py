"""A site that allows one other origin, takes no token in a URL, and whose tickets live for a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import doors
from tests.doors import CONNECTED, Key
from tests.flows import KINDS, Live, Person
from tests.kit.clients import StreamClient
from tests.kit.site import Site
from tests.kit.waiting import aeventually

APP, EVIL = "https://app.example.com", "https://evil.example.com"
SETTINGS = {"ALLOWED_ORIGINS": [APP], "QUERY_TOKEN": False, "TICKET_SECONDS": 1}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site."""
    with Site(settings=SETTINGS) as site:
        yield site


@pytest.fixture(scope="module", params=KINDS)
def strict(site: Site, request: pytest.FixtureRequest) -> Live:
    """A server of it."""
    return Live(site, site.start(request.param))


async def comer(strict: Live) -> tuple[Person, str]:
    """A person and the key of a session."""
    person = await strict.person()
    return person, await doors.session(strict, person)


async def test_no_token_in_a_url(strict: Live) -> None:
    """It is refused with a word of advice, at both doors; it does not make way for a good cookie."""
    person, key = await comer(strict)
    both = doors.query(person.token) + doors.cookie(strict, key, APP)
    assert await doors.at_both(strict, doors.query(person.token)) == {"invalid_token"}
    assert await doors.at_both(strict, both) == {"invalid_token"}
    assert await doors.at_both(strict, doors.header(person.token)) == {CONNECTED}
    assert await doors.at_socket(strict, doors.pair(person.token)) == CONNECTED


async def test_a_ticket_ends(strict: Live) -> None:
    """After TICKET_SECONDS it opens nothing, though nobody has used it."""
    person = await strict.person()
    answer = await strict.http("POST", "/api/ticket/", headers=doors.header(person.token).headers)
    assert answer.json()["expires_in"] == 1
    expired = "not Ticket.objects.filter(expires_at__gt=timezone.now()).exists()"
    await aeventually(lambda: strict.run(f"from django.utils import timezone\n{expired}"))
    assert await doors.at_both(strict, doors.ticket(answer.json()["ticket"])) == {"invalid_ticket"}


@pytest.mark.requirement("W13", "K10")
async def test_the_cookie_of_an_allowed_origin(strict: Live) -> None:
    """Pages of the one origin come in; the site's own do only if they are in the list, nor do others."""
    _, key = await comer(strict)
    assert await doors.at_both(strict, doors.cookie(strict, key, APP)) == {CONNECTED}
    for origin in (EVIL, f"{APP}:8443", "http://app.example.com", strict.server.url, "null"):
        assert await doors.at_both(strict, doors.cookie(strict, key, origin)) == {"origin_not_allowed"}


@pytest.mark.requirement("K10")
@pytest.mark.parametrize("path", ["/api/ticket/", "/api/tasks/", "/events", "/broadcast"])
async def test_a_preflight(strict: Live, path: str) -> None:
    """A browser that asks for the allowed origin may send our headers and the cookie; for others not."""
    wanted = "authorization,content-type,last-event-id,idempotency-key,x-csrftoken"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    answer = await strict.http("OPTIONS", path, headers={"Origin": APP, **asked})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-credentials"] == "true"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert set(wanted.split(",")) <= set(allowed)
    for origin in (EVIL, "null", strict.server.url):
        answer = await strict.http("OPTIONS", path, headers={"Origin": origin, **asked})
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.requirement("K10")
async def test_answers_to_other_origins(strict: Live) -> None:
    """A stream, an error and a ticket are readable for the allowed origin's pages, and for no other."""
    person, key = await comer(strict)
    for origin, readable in ((APP, True), (EVIL, False)):
        sent = Key({"Origin": origin}) + doors.header(person.token)
        async with await StreamClient.connect(strict.server, headers=sent.headers) as stream:
            await stream.wait("connected")
            assert (stream.headers.get("access-control-allow-origin") == origin) is readable
            assert "origin" in stream.headers["vary"].lower()
        for headers in (sent.headers, {"Origin": origin}):
            answer = await strict.http("POST", "/api/ticket/", headers=headers)
            assert (answer.headers.get("access-control-allow-origin") == origin) is readable
    by_cookie = doors.cookie(strict, key, APP)
    async with await StreamClient.connect(strict.server, headers=by_cookie.headers) as stream:
        await stream.wait("connected")
        assert stream.headers["access-control-allow-credentials"] == "true"


async def test_only_the_doors_are_open_to_other_origins(strict: Live) -> None:
    """The admin and the pages are not."""
    for path in ("/", "/admin/", "/accounts/login/"):
        answer = await strict.http("GET", path, headers={"Origin": APP})
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.requirement("K10")
async def test_closed_by_default(live: Live) -> None:
    """Without ALLOWED_ORIGINS no other origin may read anything."""
    person = await live.person()
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    for path in ("/api/ticket/", "/events", "/broadcast"):
        for method, headers in (("OPTIONS", asked), ("POST", asked | doors.header(person.token).headers)):
            answer = await live.http(method, path, headers=headers)
            assert not any(name.startswith("access-control") for name in answer.headers)
