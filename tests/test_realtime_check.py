"""`manage.py realtime_check` says what a proxy, a worker class or a setting breaks."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from realtime.diagnosis.findings import KNOWN
from realtime.models import Node
from tests.flows import Live, Person
from tests.following import site
from tests.kit.middlebox import Middlebox
from tests.kit.ports import HOST, free_port
from tests.kit.process import Child
from tests.kit.waiting import eventually

__all__ = ["site"]

#: Runs the command in a process of the site that is warm already.
RUN = """
import io, json
from django.core.management import call_command
from realtime.diagnosis import public
public.PAUSE, public.DEADLINE = 0.05, deadline
out, status = io.StringIO(), 0
try:
    call_command("realtime_check", *arguments, "--json", stdout=out)
except SystemExit as end:
    status = end.code
[status, json.loads(out.getvalue())]
"""
LEFT = "[Task.objects.filter(name='realtime_check').count(), Session.objects.count()]"
WSGI = """
import sys
from wsgiref.simple_server import make_server
from django.core.wsgi import get_wsgi_application
make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()).serve_forever()
"""

Fault = Callable[[Middlebox], None]


@pytest.fixture
def person(site: Live) -> Person:
    """The user as whom it looks."""
    return site._person((), {})


def check(live: Live, *arguments: str, deadline: float = 15) -> tuple[int, dict[str, Any]]:
    """Run the command; return its status and what it found, by id."""
    status, answer = live.worker.run(RUN, arguments=arguments, deadline=deadline)
    assert status == int(any(one["level"] == "error" for one in answer["findings"]))
    # The suite may run two servers on this site, whose layer is in memory: that is found, and right.
    found = {one["id"]: one for one in answer["findings"] if one["id"] != "layer_in_memory"}
    assert answer["ok"] == (status == 0)
    return status, found


def sets(**fields: Any) -> Fault:
    """A proxy with these attributes."""
    return lambda box: [setattr(box, name, value) for name, value in fields.items()]  # type: ignore[func-returns-value]


def request(pattern: bytes, instead: bytes) -> Fault:
    """A proxy that changes the heads of requests."""
    return sets(alters_request=lambda head: re.sub(pattern, instead, head, flags=re.IGNORECASE))


def answer(pattern: bytes, instead: bytes) -> Fault:
    """A proxy that changes the heads of answers."""
    return sets(alters_answer=lambda begin: re.sub(pattern, instead, begin, flags=re.IGNORECASE))


FAULTS: list[tuple[Fault, set[str]]] = [
    (sets(), set()),
    (sets(blocks_upgrades=True), {"upgrade_missing"}),
    (sets(hoards_streams=2.3), {"sse_late"}),
    (sets(open=False), {"unreachable"}),
    (request(rb"authorization: [^\r]+\r\n", b""), {"authorization_dropped"}),
    (request(rb"authorization: bearer ", b"Authorization: Bearer x"), {"credential_refused"}),
    (request(rb"\nhost: [^\r]+", b"\nHost: elsewhere.example"), {"host_refused"}),
    (request(rb"\nhost: [^\r]+", b"\nHost: localhost"), {"origin_refused", "csrf_refused"}),
    (answer(rb"content-encoding: identity", b"content-encoding: gzip"), {"sse_compressed"}),
    (answer(rb"cache-control: no-cache, no-transform", b"cache-control: public"), {"sse_headers"}),
    (answer(rb"HTTP/1.1 200 OK", b"HTTP/1.1 502 Bad Gateway"), {"proxy_error"}),
    (answer(rb"HTTP/1.1 200 OK", b"HTTP/1.1 301 Moved Permanently"), {"redirected"}),
    (answer(rb"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found"), {"not_ours"}),
]


@pytest.mark.parametrize(
    ("fault", "wanted"), FAULTS, ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else ""
)
def test_a_proxy_that_breaks_something_is_named(
    site: Live, person: Person, fault: Fault, wanted: set[str]
) -> None:
    """Each fault by its id, with how to mend it; nothing is left behind of the visit."""
    before = site.worker.run("from django.contrib.sessions.models import Session\n" + LEFT)
    with Middlebox(site.server) as box:
        fault(box)
        _, found = check(site, box.url, "--user", person.name)
    assert set(found) == wanted, found
    assert all(one["hint"] for one in found.values())
    assert site.worker.run(LEFT) == before


def test_a_site_below_a_path_is_found_there(site: Live, person: Person) -> None:
    """The address has the path, and so have the names of its views (`FORCE_SCRIPT_NAME`): once, not twice."""
    path = request(rb"^([A-Z]+) /app/", rb"\1 /")
    with Middlebox(site.server) as box:
        path(box)
        code = "from django.urls import set_script_prefix\nset_script_prefix(prefix)"
        site.worker.run(code, prefix="/app/")
        try:
            _, found = check(site, f"{box.url}/app", "--user", person.name)
        finally:
            site.worker.run(code, prefix="/")
    assert found == {}


def test_a_stream_that_is_held_back_is_named(site: Live, person: Person) -> None:
    """A proxy that waits for the end of an answer: nothing comes, while the WebSocket works."""
    with Middlebox(site.server, holds_streams=True) as box:
        _, found = check(site, box.url, "--user", person.name, deadline=3)
    assert set(found) == {"sse_held"}
    assert "proxy_buffering off" in found["sse_held"]["hint"]


def test_a_short_idle_timeout_is_named(site: Live, person: Person) -> None:
    """Only where it is asked for, as it takes as long as a heartbeat."""
    with Middlebox(site.server) as box:
        box.patience = 2.5
        _, found = check(site, box.url, "--user", person.name, "--idle")
    assert set(found) == {"idle_timeout"}
    assert "stream and socket" in found["idle_timeout"]["detail"]


def test_a_wsgi_server_is_named(site: Live, person: Person) -> None:
    """It serves pages and the API, and no stream."""
    port = free_port()
    with Child([sys.executable, "-c", WSGI, str(port)], site.site.folder / "wsgi.log", site.site.env):
        eventually(
            lambda: set(check(site, f"http://{HOST}:{port}", "--user", person.name)[1]) == {"wsgi"}, 30, 0.5
        )


def test_no_credential_goes_to_a_strangers_address(site: Live) -> None:
    """A slip of the finger in the address is found before anything is sent there."""
    status, found = check(site, "https://exmaple.com")
    assert (status, set(found)) == (1, {"host_not_allowed"})


# -- from inside ------------------------------------------------------------------------------

urlpatterns: list[Any] = []
unguarded = ProtocolTypeRouter({})


def slow_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware of the old kind."""
    return get_response


def inside() -> dict[str, Any]:
    """Run the command without an address."""
    out = io.StringIO()
    with contextlib.suppress(SystemExit):
        call_command("realtime_check", "--json", stdout=out)
    return {one["id"]: one for one in json.loads(out.getvalue())["findings"]}


@pytest.fixture
def unapplied() -> Iterator[str]:
    """A database of before the last migration, as far as it knows."""
    recorder = MigrationRecorder(connections["default"])
    last = max(name for app, name in recorder.applied_migrations() if app == "realtime")
    recorder.record_unapplied("realtime", last)
    yield last
    recorder.record_applied("realtime", last)


HERE = "tests.test_realtime_check"
REDIS: dict[str, Any] = {
    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "CONFIG": {"hosts": [{"address": "redis://127.0.0.1:9", "socket_connect_timeout": 1}]},
}
SETTINGS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"MIDDLEWARE": [f"{HERE}.slow_middleware"]}, {"realtime.W012"}),
    ({"ROOT_URLCONF": HERE}, {"urls_missing"}),
    ({"ASGI_APPLICATION": f"{HERE}.unguarded"}, {"guard_missing", "websocket_missing"}),
    ({"ASGI_APPLICATION": f"{HERE}.nothing"}, {"asgi_broken"}),
    ({"CHANNEL_LAYERS": {"default": REDIS}}, {"layer_unreachable"}),
    ({"REALTIME": {"PING_INTERVALL": 3}}, {"realtime.E002"}),
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("changed", "wanted"), SETTINGS, ids=lambda v: "+".join(sorted(v)) if isinstance(v, set) else ""
)
def test_a_setting_that_breaks_something_is_named(
    engine: str, settings: Any, changed: dict[str, Any], wanted: set[str]
) -> None:
    """Without an address nothing is opened but the application, the database and the layer."""
    for name, value in changed.items():
        setattr(settings, name, value)
    assert set(inside()) == wanted


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_several_processes_on_a_layer_in_memory_are_named(engine: str) -> None:
    """They live, and each hears only itself."""
    for pid in (1, 2):
        Node.objects.create(host="a", pid=pid, started_at=timezone.now(), seen_at=timezone.now())
    found = inside()
    assert set(found) == {"layer_in_memory"}
    assert found["layer_in_memory"]["detail"] == "2 processes"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_migration_that_was_not_applied_is_named(engine: str, unapplied: str) -> None:
    """By its name."""
    assert inside()["migrations_missing"]["detail"] == unapplied


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_it_tells_people_in_words(engine: str, settings: Any) -> None:
    """What is wrong, where, and how to mend it; and that nothing is."""
    out = io.StringIO()
    call_command("realtime_check", stdout=out)
    assert out.getvalue() == "Inside: no problem found.\n"
    settings.ROOT_URLCONF = HERE
    with pytest.raises(SystemExit):
        call_command("realtime_check", stdout=out)
    assert "error urls_missing: " in out.getvalue()
    assert KNOWN["urls_missing"][2] in out.getvalue()
    for arguments in (["example.com"], ["http://127.0.0.1", "--user", "nobody"]):
        with pytest.raises(CommandError):
            call_command("realtime_check", *arguments)
