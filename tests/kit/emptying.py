"""The databases of the test process emptied between tests, in milliseconds instead of tenths of a second.

Django's own way truncates every table, each with all its files anew, and then makes all content types and
permissions again.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connections, transaction
from django.test import TransactionTestCase

#: Filled by the migrations, and never written by a test.
KEPT = {"django_content_type", "auth_permission", "django_migrations"}
#: A table beyond this many bytes is truncated: so many dead rows would slow down the next test.
LARGE = 1_000_000

_POSTGRES = """
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY[{tables}] LOOP
        IF pg_relation_size(name::regclass) > {large} THEN
            EXECUTE format('TRUNCATE %I CASCADE', name);
        ELSE
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
END $$
"""


@cache
def tables(alias: str) -> list[str]:
    """Return the tables that tests write."""
    return sorted(set(connections[alias].introspection.table_names()) - KEPT)


def empty(alias: str) -> None:
    """Delete every row that tests have written; foreign keys are looked at when all is gone."""
    connection = connections[alias]
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            names = ", ".join(f"'{name}'" for name in tables(alias))
            cursor.execute(_POSTGRES.format(tables=names, large=LARGE))
            return
        for name in tables(alias):
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(name)}")


def _teardown(case: Any) -> None:
    for alias in case._databases_names(include_mirrors=False):
        empty(alias)


def install() -> None:
    """Let tests with real commits be cleaned up after so."""
    TransactionTestCase._fixture_teardown = _teardown
