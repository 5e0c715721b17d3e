"""A server that its test brings to an end: one more process of a site whose others go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tests.flows import Live
from tests.kit.servers import Server


@contextmanager
def extra(
    live: Live, *arguments: str, env: dict[str, str] | None = None, **settings: float
) -> Iterator[Live]:
    """Start one more process like that of `live`, with other settings; kill it in the end."""
    site, kind = live.site, live.server.kind
    changed = {f"REALTIME_{key}": json.dumps(value) for key, value in settings.items()}
    log = site.folder / f"extra-{len(site.servers)}.log"
    server = Server(kind, site.env | changed | (env or {}), log, arguments=arguments)
    site.servers.append(server)
    try:
        yield Live(site, server)
    finally:
        server.kill()


@asynccontextmanager
async def ending(live: Live, *arguments: str, **settings: float) -> AsyncIterator[Live]:
    """Do what `extra` does, without blocking the loop."""
    context = extra(live, *arguments, **settings)
    one_more = await asyncio.to_thread(context.__enter__)
    try:
        yield one_more
    finally:
        context.__exit__(None, None, None)
