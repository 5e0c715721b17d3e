"""The kit finds a credential in the log of any process of a site, whichever test it ran in."""

from __future__ import annotations

import secrets
from typing import Literal

import pytest

from tests.kit import leaks
from tests.kit.site import Site


def test_what_is_a_credential() -> None:
    """A token, a ticket, a session that was made; no words about them."""
    key = secrets.token_hex(16)
    clean = ["GET /events?token=*** 200", "tkt_ is how a ticket begins", "eyJ no token", "0" * 32]
    bad = [f"x eyJhbGciOiJI.eyJ1c2VyIjox.c2ln {key}", f"tkt_{'x' * 43}", f"cookie {key} was sent"]
    leaks.SESSIONS.add(key)
    assert list(leaks.find("\n".join(clean + bad))) == bad
    leaks.SESSIONS.discard(key)


@pytest.mark.requirement("K11")
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_site_ends_with_a_look_at_its_logs(database: Literal["sqlite", "postgres"]) -> None:
    """However a session was made: if its key is in a log, closing the site fails, and everything is gone."""
    site = Site(database=database)
    key = site.remote().run(
        "from django.contrib.sessions.backends.db import SessionStore\n"
        "store = SessionStore()\nstore['x'] = 1\nstore.create()\nprint('made', store.session_key)\n"
        "store.session_key"
    )
    assert leaks.sessions_of(site.database_url) == {key}
    with pytest.raises(AssertionError, match="holds a credential"):
        site.close()
    assert not site.folder.exists()
    assert key in leaks.SESSIONS
