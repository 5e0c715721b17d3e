"""A router by which one test body runs on SQLite and on PostgreSQL: everything goes to ``active``."""

from typing import Any

#: The alias in use, set by the fixture ``engine``.
active = "default"


class ActiveRouter:
    """Sends every read and write to :data:`active`."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Read from the alias in use."""
        return active

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Write to the alias in use."""
        return active

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        """Both databases hold the same tables."""
        return True
