"""``/metrics``: who may read it, what it says, and that no refusal, close or reset goes uncounted."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from realtime.metrics import REGISTRY
from tests.closings import PING
from tests.doors import from_new_address
from tests.ending import extra
from tests.flows import Live, Person, Sites
from tests.kit.sockets import SocketClient
from tests.kit.waiting import aeventually
from tests.profiles import BURST, PER_USER
from tests.scraping import scrape

pytestmark = pytest.mark.requirement("O2")

TOKEN = "only-for-prometheus"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_without_a_token_only_this_host_may_read_it(narrow: Live) -> None:
    """What a proxy has passed on comes from anywhere: such a caller sees no page here."""
    assert "realtime_node_info" in (await scrape(narrow)).text
    for name, value in (
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
    ):
        answer = await narrow.http("GET", "/metrics", headers={name: value})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), name


@pytest.fixture(scope="module")
def guarded(sites: Sites) -> Iterator[Live]:
    """A server that asks for a token, and whose clients may say more than they can hear."""
    narrow = sites.live("narrow", "uvicorn")
    env = {"REALTIME_METRICS_TOKEN": TOKEN}
    with extra(narrow, env=env, BUFFER_EVENTS=1, MESSAGE_BURST=1000) as live:
        yield live


async def test_with_a_token_everybody_needs_it(guarded: Live) -> None:
    """From this host too; and a token of a user is none."""
    person = await guarded.person()
    for sent, code in (
        ({}, "not_authenticated"),
        ({"Authorization": f"Basic {TOKEN}"}, "not_authenticated"),
        ({"Authorization": "Bearer"}, "not_authenticated"),
        ({"Authorization": f"Bearer {TOKEN}s"}, "invalid_token"),
        ({"Authorization": "Bearer \u00e9".encode("latin-1")}, "invalid_token"),
        ({"Authorization": f"Bearer {person.token}"}, "invalid_token"),
    ):
        answer = await guarded.http("GET", "/metrics", headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (401, code), sent
        assert answer.headers["www-authenticate"] == "Bearer"
    found = await scrape(guarded, BEARER | {"X-Forwarded-For": "192.0.2.1"})
    assert TOKEN not in found.text


async def test_it_names_nobody(narrow: Live) -> None:
    """Prometheus' own parser reads it; it holds no credential, no id, no name and no address."""
    person, headers = await narrow.person(), from_new_address()
    task_id = await narrow.task(person)
    async with (
        await narrow.watching(person, task_id=task_id) as client,
        await narrow.socket(person, headers=headers),
    ):
        await client.send({"action": "subscribe", "topic": "nonsense", "request_id": "a-request"})
        await client.wait("error")
        found = await scrape(narrow)
    connection_id = client.frames[0]["connection_id"]
    secrets = (person.token, person.name, task_id, connection_id, "a-request", *headers.values())
    assert [secret for secret in secrets if secret in found.text] == []
    labels = {(name, value) for sample in found.samples for name, value in sample.labels.items()}
    assert {name for name, _ in labels} <= {"code", "transport", "reason", "source", "node", "pid"}
    assert all(family.documentation for family in found.families.values())
    assert all(name.startswith("realtime_") for name in found.families)


async def test_connections_and_frames_are_counted(narrow: Live) -> None:
    """Open now, let in altogether, and every frame of those that are here and of those that were."""
    person = await narrow.person()

    async def nobody() -> bool:
        return (await narrow.census())["clients"] == 0

    await aeventually(nobody)
    before = await scrape(narrow)
    async with await narrow.watching(person) as client, await narrow.stream(person) as stream:
        await stream.wait("subscribed")
        here = await scrape(narrow)
        for transport in ("websocket", "sse"):
            about = {"transport": transport}
            assert here.value("connections_open", **about) == 1
            opened = here.value("connections_opened_total", **about)
            assert opened == before.value("connections_opened_total", **about) + 1
            sent = here.value("frames_sent_total", **about) - before.value("frames_sent_total", **about)
            assert sent >= 2
    received = len(client.frames)
    await aeventually(nobody)
    after = await scrape(narrow)
    assert after.value("connections_open") == 0
    about = {"transport": "websocket"}
    sent = after.value("frames_sent_total", **about) - before.value("frames_sent_total", **about)
    # The last ping may have been on its way when the line was cut.
    assert received <= sent <= received + 2


async def test_the_hub_tells_where_it_is(narrow: Live) -> None:
    """Its position is the log's head, and it was there a moment ago."""
    person = await narrow.person()
    async with await narrow.watching(person) as client:
        before = await scrape(narrow)
        await narrow.task(person)
        update = await client.wait("task_update")
        after = await scrape(narrow)
    assert before.value("hub_position") < update["id"] <= after.value("hub_position")
    assert 0 <= after.value("hub_lag_seconds") < 30
    assert after.value("hub_events_dispatched_total") > before.value("hub_events_dispatched_total")
    # Another process has written it, and there is no Redis: it was read from the log.
    assert after.value("hub_hole_events_total") > before.value("hub_hole_events_total")
    async with await narrow.stream(person, last_event_id=update["id"] - 1) as back:
        await back.wait("subscribed")
    replayed = (await scrape(narrow)).value("replay_pages_total", source="ring")
    assert replayed > after.value("replay_pages_total", source="ring")


Act = Callable[[Live, Person, dict[str, str]], Awaitable[Any]]


def saying(*texts: str) -> Act:
    """A client that sends these over its socket, and reads until it is told of an error."""

    async def act(live: Live, person: Person, headers: dict[str, str]) -> None:
        async with await live.socket(person, headers=headers) as client:
            for text in texts:
                await client.send_raw(text)
            await client.wait("error")

    return act


def asking(path: str, **options: Any) -> Act:
    """A client that asks for this over HTTP, with its token unless it is told otherwise."""

    async def act(live: Live, person: Person, headers: dict[str, str]) -> None:
        bearer = {"Authorization": f"Bearer {person.token}"}
        answer = await live.http("GET", path, headers=options.get("headers", bearer) | headers)
        assert answer.status_code >= 400

    return act


async def crowd(live: Live, person: Person, headers: dict[str, str]) -> None:
    """Come once too often, over both transports."""
    here = [await live.socket(person, headers=headers) for _ in range(PER_USER)]
    async with await SocketClient.connect(live.server, person.token, headers=headers) as late:
        await late.wait_closed()
    await asking("/events")(live, person, headers)
    for client in here:
        await client.cut()


def subscribing(**asked: Any) -> str:
    """The text of a subscribe."""
    return json.dumps({"action": "subscribe", **asked})


MANY = [f"00000000-0000-4000-8000-{number:012}" for number in range(129)]
MANY_IN_URL = "/events?" + "&".join(f"task_id={task_id}" for task_id in MANY)

#: How each refusal that leaves the socket open comes about, and over what it is told.
REFUSALS: dict[str, tuple[str, str, Act]] = {
    "too fast": ("rate_limited", "websocket", saying(*(PING,) * (BURST + 3))),
    "one too many, socket": ("too_many_connections", "websocket", crowd),
    "one too many, stream": ("too_many_connections", "sse", crowd),
    "many tasks": ("too_many_subscriptions", "websocket", saying(subscribing(task_ids=MANY))),
    "many tasks, stream": ("too_many_subscriptions", "sse", asking(MANY_IN_URL)),
    "no JSON": ("invalid_json", "websocket", saying("{")),
    "no action": ("unknown_action", "websocket", saying('{"action": "dance"}')),
    "unknown task": ("not_found", "websocket", saying(subscribing(task_id=MANY[0]))),
    "unknown task, stream": ("not_found", "sse", asking(f"/events?task_id={MANY[0]}")),
    "unknown task, HTTP": ("not_found", "http", asking(f"/api/tasks/{MANY[0]}/")),
    "not allowed": ("forbidden", "websocket", saying(subscribing(topic="tasks"))),
    "nobody, stream": ("not_authenticated", "sse", asking("/events", headers={})),
    "nobody, HTTP": ("not_authenticated", "http", asking("/api/tasks/", headers={})),
}


@pytest.mark.requirement("F6")
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_counted(narrow: Live, refusal: tuple[str, str, Act]) -> None:
    """Under the code that its client was told, and the transport over which it was."""
    code, transport, act = refusal
    person, about = await narrow.person(), {"code": code, "transport": transport}
    before = (await scrape(narrow)).value("errors_total", **about)
    await act(narrow, person, from_new_address())
    assert (await scrape(narrow)).value("errors_total", **about) > before


async def test_a_reset_is_counted(narrow: Live) -> None:
    """Under its reason."""
    person = await narrow.person()
    before = await scrape(narrow)
    async with await narrow.stream(person, last_event_id=1) as stream:
        await stream.wait("reset")
        assert stream.frames[-1]["type"] in ("reset", "subscribed", "connected")
    after = await scrape(narrow)
    assert after.value("resets_total") == before.value("resets_total") + 1
    assert {s.labels["reason"] for s in after.samples if s.name == "realtime_resets_total"} <= {
        "expired",
        "unknown_position",
        "too_far_behind",
    }


@pytest.mark.requirement("F5")
async def test_a_client_that_cannot_keep_up_is_counted(guarded: Live) -> None:
    """Its buffer that ran over, and its messages that were too many to wait."""
    person = await guarded.person()
    tasks = await guarded.tasks(person, 3)
    async with await guarded.watching(person) as client:
        code = "from django.db import transaction\nwith transaction.atomic():\n    " + (
            "for task in Task.objects.filter(pk__in=ids): task.message = 'all at once'; task.save()"
        )
        await guarded.run(code, ids=tasks)
        for task_id in tasks:
            await client.wait("task_update", lambda f, t=task_id: f["task_id"] == t and "id" in f)
        for number in range(300):
            await client.send({"action": "subscribe", "task_id": tasks[0], "request_id": number})
        await client.wait("error", lambda f: f["code"] == "too_many_pending")
        found = await scrape(guarded, BEARER)
    assert found.value("buffer_overflows_total", transport="websocket") >= 1
    assert found.value("errors_total", code="too_many_pending", transport="websocket") >= 1


@pytest.mark.requirement("F6")
def test_who_calls_too_often_is_counted(engine: str, settings: Any) -> None:
    """`throttled`, over HTTP."""
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"realtime-login": "1/min"}}
    about = ("realtime_errors_total", {"code": "throttled", "transport": "http"})
    before = REGISTRY.get_sample_value(*about) or 0
    for _ in range(2):
        Client().post("/api/token/", {"username": "x", "password": "x"}, content_type="application/json")
    assert REGISTRY.get_sample_value(*about) == before + 1
