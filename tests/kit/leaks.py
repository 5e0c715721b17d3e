"""Credentials that a log must not hold: how each is known in a text."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import psycopg

#: A JSON Web Token begins with the encoding of `{"`, thrice divided by dots.
JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}")
#: What the ticket door gives.
TICKET = re.compile(r"tkt_[\w-]{16,}")
#: Keys of all sessions that tests made: nothing in their form tells them from other words.
SESSIONS: set[str] = set()

_ALL = "SELECT session_key FROM django_session"


def find(log: str) -> Iterator[str]:
    """Yield each line that holds a token, a ticket or the key of a session."""
    for line in log.splitlines():
        if JWT.search(line) or TICKET.search(line) or any(key in line for key in SESSIONS):
            yield line


def sessions_of(database_url: str) -> set[str]:
    """The keys of a site's sessions, however they were made; none of a database that a test has broken."""
    try:
        if database_url.startswith("postgres"):
            with psycopg.connect(database_url) as postgres:
                return {key for (key,) in postgres.execute(_ALL).fetchall()}
        with closing(sqlite3.connect(urlsplit(database_url).path)) as sqlite:
            return {key for (key,) in sqlite.execute(_ALL).fetchall()}
    except (psycopg.Error, sqlite3.Error):
        return set()
