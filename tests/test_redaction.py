"""No credential in any log: not uvicorn's, not daphne's, not ours, whatever is asked and however it fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.logs import RedactCredentials, redact
from tests import doors
from tests.flows import Live
from tests.kit import leaks
from tests.kit.clients import SocketClient, StreamClient
from tests.kit.site import Site
from tests.kit.waiting import aeventually
from tests.profiles import OBSERVED

PASSWORD = "a password that must not be logged"
OWN_CONFIG = {
    "version": 1,
    "formatters": {
        "own": {"()": "uvicorn.logging.AccessFormatter", "fmt": "%(client_addr)s %(request_line)s"}
    },
    "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
    "loggers": {"uvicorn.access": {"handlers": ["own"], "level": "DEBUG"}},
}
#: How a server is started; `{folder}` is a place for its files.
STARTS: dict[str, list[str]] = {
    "uvicorn": [],
    "uvicorn debug": ["--log-level", "debug"],
    "uvicorn trace": ["--log-level", "trace"],
    "uvicorn own config": ["--log-config", "{folder}/logging.json"],
    "daphne": ["-v", "2", "--access-log", "-"],
    "daphne verbose": ["-v", "3", "--access-log", "{folder}/access.log"],
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site of its own, with Django's error pages for this machine, whose servers say all they can."""
    with Site(env={**OBSERVED, "DEBUG": "1"}) as site:
        (site.folder / "logging.json").write_text(json.dumps(OWN_CONFIG))
        yield site


@pytest.fixture(scope="module")
def bare() -> Iterator[Site]:
    """A site that has not taken over our logging."""
    with Site(env={"DJANGO_SETTINGS_MODULE": "tests.bare_settings"}) as site:
        yield site


async def visit(live: Live, key: doors.Key) -> None:
    """Bring a credential to both doors, as it is and with a message that carries it."""
    secret = next(iter(key.query.values()), "") or key.headers.get("Authorization", "")[7:]
    socket = await SocketClient.connect(
        live.server, headers=key.headers, query=key.query, subprotocols=key.subprotocols
    )
    if (await socket.wait())["type"] == "connected":
        await socket.send({"action": "authenticate", "token": secret})
        await socket.send_raw('{"action": "authenticate", "token": ["' + secret + '"]}')
        await socket.send_raw('{"action": "' + secret + '"}')
        await socket.ping()
    await socket.close()
    asked = {"topic": "mine", **key.query, "task_id": "bad"}
    for query in (key.query, asked):
        async with await StreamClient.connect(live.server, headers=key.headers, query=query) as stream:
            if stream.status == 200:
                await stream.wait("connected")


async def visit_all(live: Live) -> list[str]:
    """Bring good and bad credentials of every kind everywhere; return what no log may hold."""
    person = await live.person(password=PASSWORD)
    answer = await live.http("POST", "/api/token/", json={"username": person.name, "password": PASSWORD})
    pair = answer.json()
    await live.http("POST", "/api/token/refresh/", json={"refresh": pair["refresh"]})
    tokens = [person.token, pair["access"], pair["refresh"], person.token[:-3] + "bad"]
    tickets = [await doors.ticket_of(live, person.token), "tkt_" + "x" * 43]
    session = await doors.session(live, person)
    for token in tokens:
        await visit(live, doors.header(token))
        await visit(live, doors.query(token))
    await visit(live, doors.pair(person.token))
    for ticket in tickets:
        await visit(live, doors.ticket(ticket))
        await visit(live, doors.ticket(ticket))
    await visit(live, doors.cookie(live, session))
    await visit(live, doors.cookie(live, session, "null"))
    for path in ("/ws", "/events", "/events?task_id=bad"):
        joined = "&" if "?" in path else "?"
        secret = f"token={person.token}&ticket={tickets[0]}"  # spent
        answer = await live.http("GET", f"{path}{joined}x=1&{secret}&y=2")
        assert person.token not in answer.text
    await live.http("POST", "/api/token/logout/", json={"refresh": pair["refresh"]})
    return [*(token.split(".")[2] for token in tokens), *tickets, session, PASSWORD]


@pytest.mark.requirement("K11")
@pytest.mark.parametrize("start", STARTS)
async def test_no_log_holds_a_credential(site: Site, start: str) -> None:
    """Good and bad ones in header, URL, cookie, message and form; requests and failures are in the log."""
    arguments = [word.format(folder=site.folder) for word in STARTS[start]]
    live = Live(site, site.start(start.split()[0], arguments=arguments))
    secrets = await visit_all(live)
    token, session = secrets[0], secrets[-2]
    headers = {"Authorization": f"Bearer x.y.{token}", "Cookie": f"sessionid={session}"}
    for path in ("/failing", "/nowhere"):
        await live.http("GET", f"{path}?token=x.y.{token}&ticket={secrets[4]}", headers=headers)
    await aeventually(lambda: "RuntimeError" in live.server.log())
    log = live.server.log() + "".join(path.read_text() for path in site.folder.glob("access.log"))
    assert "/failing" in log
    assert [secret for secret in secrets if secret in log] == []
    assert list(leaks.find(log)) == []


@pytest.mark.requirement("K11")
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_the_doors_keep_credentials_from_other_logs(bare: Site, kind: str) -> None:
    """Where a project has its own logging, what is brought to our doors is in no access log either."""
    live = Live(bare, bare.start(kind))
    secrets = await visit_all(live)
    await aeventually(lambda: "/events" in live.server.log())
    log = live.server.log()
    assert [secret for secret in secrets if secret in log] == []
    assert list(leaks.find(log)) == []


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl"
TICKET = "tkt_" + "Ab3-_" * 8
SESSION = "q1w2e3r4t5z6u7i8o9p0a1s2d3f4g5h6"


@pytest.mark.requirement("K11", "O4")
@pytest.mark.parametrize(
    "text",
    [
        f"GET /events?token={TOKEN}&x=1 HTTP/1.1",
        f"GET /elsewhere?a=b&access_token={TOKEN}",
        f"GET /events?ticket={TICKET}",
        f"GET /events?ticket={SESSION}&topic=mine",
        f"Authorization: Bearer {TOKEN}",
        f"authorization: bearer   {SESSION}",
        f"(b'authorization', b'Bearer {SESSION}')",
        f"Sec-WebSocket-Protocol: bearer, {TOKEN}, realtime.json",
        f"'subprotocols': ['bearer', '{SESSION}']",
        f"Cookie: a=b; sessionid={SESSION}; csrftoken=c",
        f"(b'cookie', b'sessionid={SESSION}')",
        f"Set-Cookie: __Host-sessionid={SESSION}; Path=/",
        f'{{"action": "authenticate", "token": "{SESSION}"}}',
        f"{{'access': '{TOKEN}', 'refresh': '{SESSION}'}}",
        f'"{{\\"ticket\\": \\"{SESSION}\\"}}"',
        f"something went wrong with {TOKEN}!",
        f"{TICKET} was used twice",
    ],
)
def test_every_form_of_a_credential_is_redacted(text: str) -> None:
    """In a URL, a header, a cookie, a message, as Python prints them, or on its own."""
    safe = redact(text)
    assert "***" in safe
    for secret in (TOKEN, TICKET, SESSION, TOKEN.split(".")[2]):
        assert secret not in safe
    assert redact(safe) == safe


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/tasks/?page=2&status=running",
        "A ticket was refused; the token had expired.",
        "token_expired session tickets password",
        '{"type": "task_update", "data": {"name": "Refresh of the sessions", "status": "running"}}',
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """A log is there to be read."""
    assert redact(text) == text


class Opaque:
    """An object that becomes text only when the record is written."""

    def __str__(self) -> str:
        return f"sessionid={SESSION}"


@pytest.mark.requirement("K11")
def test_a_record_is_redacted_wherever_the_credential_stands(tmp_path: Path) -> None:
    """In the message, in its arguments of whatever type, in the traceback."""
    handler = logging.FileHandler(tmp_path / "log")
    handler.addFilter(RedactCredentials())
    logger = logging.Logger("apart")
    logger.addHandler(handler)
    logger.warning("token=%s", TOKEN)
    logger.warning(f"token={TOKEN} %d", 5)
    logger.warning("%(token)s %(other)s", {"token": TOKEN, "other": Opaque()})
    logger.warning("%s %s", {"headers": [(b"cookie", f"sessionid={SESSION}".encode())]}, Opaque())
    logger.warning("too many arguments", TICKET)
    try:
        raise ValueError(f"?ticket={TICKET}")
    except ValueError:
        logger.exception("failed")
    handler.close()
    written = (tmp_path / "log").read_text()
    assert written.count("***") >= 7
    for secret in (TOKEN, TICKET, SESSION):
        assert secret not in written
