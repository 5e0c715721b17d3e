"""The client side of HTTP/1.1 for a body that does not end: its bytes come out as they come in."""

import asyncio
from collections.abc import AsyncIterator, Mapping


class Broken(Exception):
    """The connection ended before the body did."""


def request(target: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a GET request."""
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the status and the headers: names in lower case, repeated ones joined by a comma."""
    head = (await _until(reader, b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status_line.split(" ")[1]), headers


async def read_body(
    reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]
) -> AsyncIterator[bytes]:
    """Yield the body piece by piece (RFC 9112 §6.3); raise Broken if the connection ends first."""
    if status in (204, 304):
        return
    if headers.get("transfer-encoding", "").lower() == "chunked":
        async for chunk in _chunks(reader):
            yield chunk
    elif "content-length" in headers:
        left = int(headers["content-length"])
        while left:
            piece = await _some(reader, left)
            if not piece:
                raise Broken(f"{left} bytes of the body are missing")
            left -= len(piece)
            yield piece
    else:
        while piece := await _some(reader, 65_536):
            yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Decode the chunked coding (RFC 9112 §7.1), without holding back a chunk not yet complete."""
    while True:
        size = int((await _until(reader, b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            while await _until(reader, b"\r\n") != b"\r\n":
                pass  # trailers
            return
        while size:
            piece = await _some(reader, size)
            if not piece:
                raise Broken("cut inside a chunk")
            size -= len(piece)
            yield piece
        if await _until(reader, b"\r\n") != b"\r\n":
            raise Broken("a chunk is longer than it says")


async def _until(reader: asyncio.StreamReader, separator: bytes) -> bytes:
    try:
        return await reader.readuntil(separator)
    except (asyncio.IncompleteReadError, OSError) as error:
        raise Broken(f"the connection ended: {error!r}") from error


async def _some(reader: asyncio.StreamReader, limit: int) -> bytes:
    try:
        return await reader.read(limit)
    except OSError as error:
        raise Broken(f"the connection ended: {error!r}") from error
