"""The client's address: what proxies say of it counts as far as they are trusted, and no further."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.addresses import UNKNOWN, client_address

pytestmark = pytest.mark.requirement("F6")

PROXIES = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]


@pytest.fixture(autouse=True)
def proxies(settings: Any) -> None:
    """The site's proxies."""
    settings.REALTIME = {"TRUSTED_PROXIES": PROXIES}


def both(peer: str | None, *lines: str) -> set[str]:
    """What an ASGI scope and the `META` of the same request say."""
    headers = [(b"host", b"x"), *((b"x-forwarded-for", line.encode("latin-1")) for line in lines)]
    scope = {"type": "http", "client": [peer, 1] if peer is not None else None, "headers": headers}
    meta = {"HTTP_X_FORWARDED_FOR": ",".join(lines)} if lines else {}
    if peer is not None:
        meta["REMOTE_ADDR"] = peer
    return {client_address(scope), client_address(meta)}


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        # Nobody in between; what a client says of itself is nothing.
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("203.0.113.9", ["10.0.0.1"], "203.0.113.9"),
        # One proxy, several, and what the client had written before they came.
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, 10.2.0.1, 192.0.2.1"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9, 10.2.0.1"], "203.0.113.9"),
        ("10.0.0.1", ["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 192.0.2.2"], "192.0.2.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [", ,"], "10.0.0.1"),
        # Forms that some proxies write.
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("2001:db8::7", ["2001:db8::1"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        # No address where one should be counts as the proxy that passed it on.
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["x" * 5000], "10.0.0.1"),
        # Behind a Unix socket there is no peer: who reaches it is the proxy.
        (None, ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("", ["203.0.113.9"], "203.0.113.9"),
        (None, [], UNKNOWN),
    ],
)
def test_the_address_is_the_nearest_that_is_no_proxy(peer: str | None, lines: list[str], found: str) -> None:
    """From the right end of X-Forwarded-For, the same for a socket, a stream and the API."""
    assert both(peer, *lines) == {found}


def test_nobody_is_trusted_by_default(settings: Any) -> None:
    """Without TRUSTED_PROXIES the header counts for nothing, whoever sends it and over whatever socket."""
    settings.REALTIME = {}
    for peer, found in (("127.0.0.1", "127.0.0.1"), (None, UNKNOWN), ("", UNKNOWN)):
        assert both(peer, "203.0.113.9") == {found}


@given(st.text(st.characters(max_codepoint=255)), st.sampled_from(["10.0.0.1", "", "203.0.113.9", "peer"]))
def test_no_header_makes_it_fail(line: str, peer: str) -> None:
    """Whatever is sent, there is an address, and a short one: it is a key of counters."""
    for found in both(peer, line):
        assert found
        assert len(found) <= 200
