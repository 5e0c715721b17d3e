"""Live task status for any Django site: a log in the database, a hub per process, WebSocket and SSE."""

__version__ = "0.1.0"
