"""What a client has received: everything in order, and what its test has not looked at yet."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Received items, and a way to wait for one of them."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._unread: dict[int, Item] = {}  # by the number of their arrival
        self._news = asyncio.Event()
        self._closed: str | None = None

    def put(self, item: Item) -> None:
        """Add an item that has arrived."""
        self._unread[len(self.items)] = item
        self.items.append(item)
        self._announce()

    def close(self, reason: str) -> None:
        """Say that nothing more will arrive, and why."""
        self._closed = reason
        self._announce()

    @property
    def closed(self) -> bool:
        """Whether nothing more will arrive."""
        return self._closed is not None

    def unread(self) -> Iterator[Item]:
        """The items no `wait` has returned yet."""
        return iter(tuple(self._unread.values()))

    async def wait(self, matches: Callable[[Item], bool], timeout: float, what: str = "a match") -> Item:
        """Return the first unread item that matches and mark it, and only it, as read.

        Raises AssertionError at the deadline, or as soon as the connection has ended without it.
        """
        try:
            async with asyncio.timeout(timeout):
                numbers = list(self._unread)
                while True:
                    for number in numbers:
                        if number in self._unread and matches(self._unread[number]):
                            return self._unread.pop(number)
                    looked_at = len(self.items)
                    if self.closed:
                        raise AssertionError(self._complaint(f"{what} never came: {self._closed}"))
                    await self._change()
                    numbers = list(range(looked_at, len(self.items)))
        except TimeoutError:
            raise AssertionError(self._complaint(f"no {what} within {timeout} s")) from None

    async def wait_closed(self, timeout: float) -> None:
        """Wait until nothing more can arrive; AssertionError at the deadline."""
        try:
            async with asyncio.timeout(timeout):
                while not self.closed:
                    await self._change()
        except TimeoutError:
            raise AssertionError(self._complaint(f"still open after {timeout} s")) from None

    async def _change(self) -> None:
        """Wait for the next item or the end; nothing runs between the caller's look and this."""
        await self._news.wait()

    def _announce(self) -> None:
        """Wake who waits now; who looks later waits for the next news."""
        self._news.set()
        self._news = asyncio.Event()

    def _complaint(self, text: str) -> str:
        last = "\n".join(f"  {item}" for item in self.items[-10:])
        return f"{text}\n{len(self.items)} received, {len(self._unread)} unread, the last:\n{last}"
