"""How a WebSocket is opened with a credential: at the address that was named, or not at all."""

from __future__ import annotations

from websockets.asyncio.client import connect


class StraightConnect(connect):
    """Follows no redirect: what stands at its end would be shown the credential."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error as it is, an ``InvalidStatus`` with the status of the redirect."""
        return exc
