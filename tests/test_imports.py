"""The structure of the product: who may import whom, told as a table and proved from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import realtime
from realtime import permissions
from tests.layers import LAYERS

ROOT = Path(realtime.__file__).parent

ORDER = [pattern for patterns in LAYERS.values() for pattern in patterns]
ON_THEIR_OWN = ["", "migrations*"]
#: Where the repository's own files are, and what is written by hand.
FOLDERS = ["realtime", "project", "tests", "bench", "templates"]
KINDS = ["*.py", "*.js", "*.css", "*.html"]
FRAMEWORKS = {"django", "channels", "rest_framework", "rest_framework_simplejwt", "asgiref", "daphne"}


def module_name(path: Path) -> str:
    """The name of a module below `realtime`, "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = [name for name in FILES if not any(fnmatch(name, pattern) for pattern in ON_THEIR_OWN)]


@cache
def tree(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(FILES[name].read_text())


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, except what is there for the type checker only."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from walk(child)


def imports(node: ast.AST) -> Iterator[str]:
    """The full names of the modules, or of what is taken out of them, that are imported below."""
    for child in walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "an import is written in full"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def packages(name: str) -> set[str]:
    """The packages that a module imports from, by their first name."""
    return {full.partition(".")[0] for full in imports(tree(name))}


@cache
def own_imports(name: str) -> set[str]:
    """The modules of `realtime` that a module imports."""
    found = set()
    for full in imports(tree(name)):
        package, _, rest = full.partition(".")
        if package == "realtime":
            found.add(rest if rest in FILES else rest.rpartition(".")[0])
    return found


@cache
def rank(name: str) -> int:
    """The place of a module in the table."""
    places = [place for place, pattern in enumerate(ORDER) if fnmatch(name, pattern)]
    assert len(places) == 1, f"say in the table where realtime.{name} belongs"
    return places[0]


def test_a_module_imports_only_what_stands_below_it() -> None:
    """One direction: doors know the roads, roads know the words, words know nothing."""
    below = {name: rank(name) for name in MODULES}
    assert [(a, b) for a in MODULES for b in own_imports(a) if rank(b) > below[a]] == []


def test_the_table_names_no_ghosts() -> None:
    """Every line of it is a module that exists."""
    assert [pattern for pattern in ORDER if not any(fnmatch(name, pattern) for name in MODULES)] == []


def test_words_know_no_framework() -> None:
    """Pure modules can be read, tested and reused without Django."""
    assert [name for name in (*LAYERS["words"], *LAYERS["client"]) if packages(name) & FRAMEWORKS] == []


def test_nothing_imports_the_project() -> None:
    """The app runs in anybody's project; ours is only the first, and tests are not shipped."""
    assert [name for name in FILES if packages(name) & {"project", "tests", "bench"}] == []


def test_publisher_and_stream_meet_only_in_the_log_and_the_layer() -> None:
    """Neither road knows the other; the process only tells the publisher on which loop its hub lives."""
    assert own_imports("publisher") == {"layer", "events", "metrics"}
    assert {name for name in MODULES if "publisher" in own_imports(name)} == {"log.writing", "process"}
    used = {
        node.attr
        for node in ast.walk(tree("process"))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "publisher"
    }
    assert used == {"settle_on"}


def test_queues_are_imported_by_their_integrations_only() -> None:
    """Who does not use one need not have it; Django's tasks are looked for, wherever they are."""
    queues = {"celery", "kombu", "django_tasks", "django_tasks_db"}
    assert {name for name in FILES if packages(name) & queues} == {"integrations.celery"}


def test_permissions_are_asked_for_in_one_place() -> None:
    """Their names stand in one module, which also knows of users that have none."""
    named = re.compile(r"realtime\.(add|change|delete|view)_[a-z]+")
    nodes = [(name, node) for name in MODULES for node in ast.walk(tree(name))]
    texts = [(name, str(node.value)) for name, node in nodes if isinstance(node, ast.Constant)]
    assert {name for name, text in texts if named.fullmatch(text)} == {"permissions"}
    assert [name for name, node in nodes if isinstance(node, ast.Attribute) and node.attr == "has_perm"] == []
    assert permissions.may(object(), permissions.VIEW_ALL) is False


def test_no_import_hides_in_a_function() -> None:
    """An import inside a function dodges a circle; Django's own place for one is AppConfig.ready."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    hiding = {
        (name, node.name)
        for name in FILES
        for node in ast.walk(tree(name))
        if isinstance(node, functions) and any(imports(node))
    }
    assert hiding == {("apps", "ready")}


def test_a_file_is_short() -> None:
    """Under 300 lines, whatever it is written in; a folder replaces a file that outgrows that."""
    found = [path for folder in FOLDERS for kind in KINDS for path in (ROOT.parent / folder).rglob(kind)]
    assert {path.suffix for path in found} == {Path(kind).suffix for kind in KINDS}
    assert [str(path) for path in found if len(path.read_text().splitlines()) >= 300] == []


def test_a_module_says_what_it_is() -> None:
    """In its first sentence."""
    silent = []
    for name, path in FILES.items():
        if path.read_text() and not name.startswith("migrations"):
            docstring = ast.get_docstring(tree(name)) or ""
            if not docstring.partition("\n")[0].endswith((".", ":")):
                silent.append(name)
    assert silent == []
