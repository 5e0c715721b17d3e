"""Threads with a database connection of their own: concurrent transactions on a schedule."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from django.db import connections, transaction

T = TypeVar("T")

#: Seconds a step of a schedule may take.
DEADLINE = 20.0


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Run `work` in a new thread; its connections are closed at its end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            connections.close_all()

    threading.Thread(target=run, daemon=True).start()
    return future


def together(*works: Callable[[], T]) -> list[T]:
    """Run every one of `works` in a thread, all let go at the same moment; return their results."""
    barrier = threading.Barrier(len(works))

    def wait_and(work: Callable[[], T]) -> T:
        barrier.wait(DEADLINE)
        return work()

    return [future.result(DEADLINE) for future in [in_thread(lambda w=w: wait_and(w)) for w in works]]


@contextmanager
def open_transaction(using: str, work: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Do `work` in a transaction of another thread, which stays open inside the block.

    What the block gets commits it earlier than the block's end.
    """
    written, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(using=using):
                work()
                written.set()
                assert release.wait(DEADLINE), "the transaction was never let go"
        finally:
            written.set()

    holder = in_thread(hold)

    def commit() -> None:
        release.set()
        holder.result(DEADLINE)

    assert written.wait(DEADLINE), "the work in the transaction did not end"
    try:
        yield commit
    finally:
        commit()
