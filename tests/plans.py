"""How a database runs the statements of a page, and its words where the two engines differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from django.db import connections

from realtime.admin.listing import REACH

#: Of row i: an id, a time long ago, and one of the last hour for most rows.
DIALECTS = {
    "sqlite": {
        "id": "lower(hex(randomblob(16)))",
        "time": "datetime('2026-01-01', i || ' seconds')",
        "now": "CASE WHEN i % 4000 <> 7 THEN datetime('now', '-' || (i % 3000) || ' seconds') END",
    },
    "postgresql": {
        "id": "gen_random_uuid()",
        "time": "timestamp '2026-01-01' + i * interval '1 second'",
        "now": "CASE WHEN i % 4000 <> 7 THEN now() - (i % 3000) * interval '1 second' END",
    },
}


def scans(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The tables a plan of PostgreSQL read, and how many rows of each."""
    if "Relation Name" in node:
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield node["Relation Name"], rows * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from scans(child)


def rows_read(engine: str, sql: str) -> dict[str, float]:
    """How many rows of which of our tables PostgreSQL reads for a statement."""
    with connections[engine].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.replace('%', '%%')}", [])
        plan = cursor.fetchone()[0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    found: dict[str, float] = {}
    for table, rows in scans(plan[0]["Plan"]):
        if table.startswith("realtime_"):
            found[table] = max(rows, found.get(table, 0))
    return found


def complaint(engine: str, sql: str) -> str:
    """What is wrong with how the database runs a statement, "" when nothing is."""
    connection = connections[engine]
    if connection.vendor == "postgresql":
        read = rows_read(engine, sql)
        return "; ".join(f"{rows} rows of {table}" for table, rows in read.items() if rows > REACH + 1)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql.replace('%', '%%')}", [])
        steps = [row[-1] for row in cursor.fetchall()]
    by_key = re.search(r'"id" IN \(', sql)
    return "; ".join(
        step
        for step in steps
        if re.match(r"SCAN realtime_(?!.* INDEX )", step)
        or (step.startswith("SCAN realtime_") and " LIMIT " not in sql)
        or (step == "USE TEMP B-TREE FOR ORDER BY" and not by_key)
    )
