"""Writes docs/requirements.md: which test covers which row. ``python -m tests.kit.requirements``."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "requirements.md"
ROWS = Path(__file__).with_suffix(".toml")

INTRODUCTION = """\
# Requirements

Written by `make requirements` from the marks `@pytest.mark.requirement` of the tests; do not edit.
*Open* means that no test names the row yet; *later* that the row is not part of the first release.
"""


class Row(NamedTuple):
    """One requirement."""

    text: str
    later: bool


class Mark(NamedTuple):
    """A test that names a requirement."""

    row: str
    file: str
    test: str


def sections() -> dict[str, dict[str, Row]]:
    """Read the rows by section and number, in their order."""
    found = tomllib.loads(ROWS.read_text())
    return {section["title"]: dict(_rows(section["rows"])) for section in found["section"]}


def _rows(written: Mapping[str, str | Mapping[str, object]]) -> Iterator[tuple[str, Row]]:
    for number, row in written.items():
        if isinstance(row, str):
            yield number, Row(row, later=False)
        else:
            yield number, Row(str(row["text"]), later=bool(row["later"]))


def marks(folder: Path = ROOT / "tests") -> list[Mark]:
    """Return every mark of every test; the files are read, not run, so that no service is needed."""
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        shared = [row for node in tree.body if _is_pytestmark(node) for row in _named(node)]
        found += [
            Mark(row, str(path.relative_to(folder.parent)), test)
            for test, rows in _tests(tree, shared)
            for row in dict.fromkeys(rows)
        ]
    return found


def named() -> dict[str, str]:
    """Return the file of the test of each kept name, "" for one that does not exist."""
    places = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        places |= {test: str(path.relative_to(ROOT)) for test, _ in _tests(tree, [])}
    names = tomllib.loads(ROWS.read_text())["named"]
    return {f"test_{name}": places.get(f"test_{name}", "") for name in names}


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
    )


def _tests(tree: ast.AST, inherited: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each test function, also those of classes, with the rows that it proves."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        rows = inherited + [row for decorator in node.decorator_list for row in _named(decorator)]
        if isinstance(node, ast.ClassDef):
            # A Hypothesis state machine: `TestIt = Machine.TestCase` keeps the marks of the class.
            yield from _tests(node, rows)
        elif node.name.startswith("test_"):
            yield node.name, rows


def _named(tree: ast.AST) -> Iterator[str]:
    """Yield the rows named by calls of ``….requirement(…)`` in a decorator or an assignment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr != "requirement":
                continue
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def render() -> str:
    """Return the text of the document."""
    tests: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks():
        tests[mark.row].append(mark)
    rows = {number: row for section in sections().values() for number, row in section.items()}
    due = [number for number, row in rows.items() if not row.later]
    covered = sum(number in tests for number in due)
    parts = [INTRODUCTION, f"Covered: {covered} of the first release's {len(due)} rows.\n"]
    for title, section in sections().items():
        parts.append(f"## {title}\n\n| row | what | tests |\n|---|---|---|")
        parts += [_line(number, row, tests.get(number, [])) for number, row in section.items()]
        parts.append("")
    parts.append("## Names kept\n\n| test | where |\n|---|---|")
    for test, file in named().items():
        parts.append(f"| `{test}` | {f'[{file}](../{file})' if file else '**open**'} |")
    return "\n".join(parts) + "\n"


def _line(number: str, row: Row, tests: list[Mark]) -> str:
    by_file: dict[str, list[str]] = defaultdict(list)
    for mark in tests:
        by_file[mark.file].append(f"`{mark.test}`")
    places = [f"[{file}](../{file}): {', '.join(names)}" for file, names in by_file.items()]
    state = "; ".join(places) or ("open (later)" if row.later else "**open**")
    text = row.text.replace("|", r"\|").replace("<", "&lt;")
    return f"| {number} | {text} | {state} |"


if __name__ == "__main__":
    DOCUMENT.write_text(render())
