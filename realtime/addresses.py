"""The client's address: the connection's own, or what trusted proxies say of it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from realtime.conf import conf

UNKNOWN = "unknown"


def client_address(about: Mapping[str, Any]) -> str:
    """Return the address of a request's ``META`` or of an ASGI scope; "unknown" when there is none.

    ``X-Forwarded-For`` counts only as far as ``TRUSTED_PROXIES`` wrote it: from its right end, the first
    address that is not one of theirs. What is no address there counts as the proxy that passed it on.
    """
    headers = about.get("headers")
    if isinstance(headers, str) or headers is None:
        peer, forwarded = about.get("REMOTE_ADDR"), about.get("HTTP_X_FORWARDED_FOR", "")
    else:
        peer = (about.get("client") or [""])[0]
        forwarded = ",".join(v.decode("latin-1") for n, v in headers if n == b"x-forwarded-for")
    # What a dual-stack socket shows of an IPv4 client becomes that client.
    nearest = str(_parse(str(peer or "")) or peer or "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    # A server behind a Unix socket knows no peer: who reaches the socket is the proxy.
    while hops and (_is_trusted(nearest) if nearest else bool(conf.TRUSTED_PROXIES)):
        if (hop := _parse(_plain(hops.pop()))) is None:
            break
        nearest = str(hop)
    return nearest or UNKNOWN


def is_proxy(text: str) -> bool:
    """Tell whether ``text`` can stand in ``TRUSTED_PROXIES``: an address, or a network."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _plain(hop: str) -> str:
    """Return an address without the port and the brackets that some proxies write."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _is_trusted(address: str) -> bool:
    found = _parse(address)
    return found is not None and any(
        found in ip_network(proxy, strict=False) for proxy in conf.TRUSTED_PROXIES
    )


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
