"""The WebSocket and the event stream in AsyncAPI 3.0, made of the structs that parse and write messages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from realtime.exceptions import CLOSE_CODES
from realtime.protocol.client import MESSAGES
from realtime.protocol.server import FRAMES, Frame

_SCHEMAS = "#/components/schemas/"
#: What only a WebSocket says: answers to messages, which nobody can send over an event stream.
SOCKET_ONLY = {"ping", "pong", "status", "authenticated"}
_CHOICE = {
    "task_id": {"type": "array", "items": {"type": "string", "format": "uuid"}},
    "topic": {"type": "array", "items": {"type": "string"}},
    "last_event_id": {"type": "string", "description": "The cursor; the header Last-Event-ID wins."},
    "format": {
        "type": "string",
        "enum": ["json", "html"],
        "default": "json",
        "description": "html: fragments for pages, in events of other names, not these messages.",
    },
}


def document(host: str, secure: bool, socket: str, stream: str) -> dict[str, Any]:
    """Return the AsyncAPI document of a site; ``socket`` and ``stream`` are the paths of the two doors.

    Only what differs between requests is made for each; the rest is shared, and not to be changed.
    """
    fixed, channels = _fixed(), _fixed()["channels"]
    return {
        **fixed,
        "servers": {
            "socket": {"host": host, "protocol": "wss" if secure else "ws", "security": _security()},
            "stream": {"host": host, "protocol": "https" if secure else "http", "security": _security()},
        },
        "channels": {
            "socket": {"address": socket, **channels["socket"]},
            "stream": {"address": stream, **channels["stream"]},
        },
    }


@cache
def _fixed() -> dict[str, Any]:
    """Return all that every answer has in common: everything but the host and the two addresses."""
    server_to_client = {_name(frame, "type"): frame for frame in FRAMES}
    client_to_server = {_name(message, "action"): message for message in MESSAGES.values()}
    structs = [*server_to_client.values(), *client_to_server.values()]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_SCHEMAS + "{name}")
    names = _schema_names(structs)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Realtime tasks",
            "version": "1.0",
            "description": "Live task status: each change once, in order, resumed by one cursor over either.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "servers": [{"$ref": "#/servers/socket"}],
                "description": "Text frames are JSON; with the subprotocol realtime.msgpack each frame is "
                "binary MessagePack of the same objects.",
                "messages": _references([*server_to_client, *client_to_server]),
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                "x-close-codes": {
                    str(code): {"meaning": meaning, "retry": str(retry)}
                    for code, (meaning, retry) in CLOSE_CODES.items()
                },
            },
            "stream": {
                "servers": [{"$ref": "#/servers/stream"}],
                "description": "Server-Sent Events: the event's name is the frame's type, its id the cursor. "
                "task_id and topic choose what is watched, Last-Event-ID resumes.",
                "messages": _references(_over_stream(server_to_client)),
            },
        },
        "operations": {
            "sendOverSocket": _operation("send", "socket", server_to_client),
            "receiveOverSocket": _operation("receive", "socket", client_to_server),
            "sendOverStream": _operation("send", "stream", _over_stream(server_to_client))
            | {
                "bindings": {
                    "http": {
                        "method": "GET",
                        "query": {"type": "object", "properties": _CHOICE},
                        "bindingVersion": "0.3.0",
                    }
                }
            },
        },
        "components": {
            "messages": {
                name: {
                    "name": str(struct.__struct_config__.tag),
                    "title": name,
                    "summary": (struct.__doc__ or "").partition("\n")[0],
                    "payload": {"$ref": _SCHEMAS + names[struct]},
                }
                for name, struct in (server_to_client | client_to_server).items()
            },
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token; on a WebSocket also as the subprotocols bearer, <jwt>.",
                },
                "ticket": {
                    "type": "httpApiKey",
                    "name": "ticket",
                    "in": "query",
                    "description": "A single-use ticket of POST /api/ticket/.",
                },
            },
        },
    }


def _name(struct: type[msgspec.Struct], kind: str) -> str:
    """Return the message's name here: frames and messages share some tags, such as ping."""
    return ("server." if kind == "type" else "client.") + str(struct.__struct_config__.tag)


def _schema_names(structs: Iterable[type[msgspec.Struct]]) -> dict[type[msgspec.Struct], str]:
    """Return the name under which each struct's schema stands among the components."""
    listed = [*structs]
    references, _ = msgspec.json.schema_components(listed, ref_template="{name}")
    return {struct: reference["$ref"] for struct, reference in zip(listed, references, strict=True)}


def _over_stream(frames: dict[str, type[Frame]]) -> list[str]:
    return [name for name, frame in frames.items() if frame.__struct_config__.tag not in SOCKET_ONLY]


def _references(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operation(action: str, channel: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _security() -> list[dict[str, str]]:
    return [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", "ticket")]
