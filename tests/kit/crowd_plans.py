"""What each client of a crowd sends (see `tests.kit.crowd`), and what it waits for."""

import base64
import json
import struct
from typing import Any

from tests.kit.ports import HOST


def _request(path: str, *headers: str) -> str:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""])


def _upgrade(path: str, *headers: str) -> str:
    key = base64.b64encode(bytes(16)).decode()
    return _request(
        path,
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    )


def _frame(text: str) -> str:
    """Return a client's text frame (RFC 6455 §5.2), masked with a key of zeros, as latin-1."""
    assert len(text) < 126
    return (struct.pack("!BB", 0x81, 0x80 | len(text)) + bytes(4)).decode("latin-1") + text


def plan(way: str, port: int, token: str, task_id: str) -> dict[str, Any]:
    """Return what a client sends, and the sign in the answer it waits for after each."""
    bearer = f"Authorization: Bearer {token}"
    if way == "websocket":
        subscribe = _frame(json.dumps({"action": "subscribe", "task_id": task_id}))
        return {
            "port": port,
            "send": [_upgrade("/ws", bearer), subscribe],
            "signs": ['"connected"', '"type":"subscribed"'],
        }
    if way == "sse":
        ask = _request(f"/events?task_id={task_id}", "Accept: text/event-stream", bearer)
        return {"port": port, "send": [ask], "signs": ["event: subscribed"]}
    return {"port": port, "send": [_upgrade(f"/ws/{task_id}/")], "signs": ["\r\n\r\n"]}
