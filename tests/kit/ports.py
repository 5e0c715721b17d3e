"""Ports for the servers of the tests.

They lie below those the kernel gives to outgoing connections. Otherwise a client that tries again
and again while its server restarts could be given the server's own port, take it, or even be
connected to itself.
"""

import random
import socket

HOST = "127.0.0.1"
PORTS = range(11_000, 32_000)  # browsers refuse some lower ones
BACKLOG = 2048


def listen(port: int = 0) -> socket.socket:
    """A listening socket on that port, or on a free one; OSError if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port or free_port()))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def free_port() -> int:
    """A port nobody listens on at this moment; another process may still be quicker to take it."""
    # Seeded random numbers would send every test process to the same ports.
    choice = random.SystemRandom().choice
    while True:
        port = choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
