"""The documents of the repository: their text, their examples, their tables."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from tests.kit.requirements import ROOT

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    *(f"docs/{name}.md" for name in ("protocol", "security", "deploy", "design", "integrate", "topics")),
    "docs/integrations.md",
    "docs/client.md",
    "docs/testing.md",
    "docs/htmx.md",
]


@cache
def text(name: str) -> str:
    """Return a document of the repository."""
    return (ROOT / name).read_text()


def examples(kind: str) -> list[Any]:
    """Return the JSON examples that have the field ``kind``, from every document."""
    found = [json.loads(body) for d in DOCUMENTS for lang, body in _FENCED.findall(text(d)) if lang == "json"]
    return [example for example in found if kind in example]


def streams() -> list[str]:
    """Return the examples of event streams."""
    return [body for d in DOCUMENTS for lang, body in _FENCED.findall(text(d)) if lang == "sse"]


def table(name: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without code quotes."""
    section = text(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"{name} has no section {heading!r}"
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[1:]]
