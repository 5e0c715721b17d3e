"""The files that the demonstration works on: Python's own standard library."""

import csv
import io
import sysconfig
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

COLUMNS = ("path", "size", "modified")

ROOT = Path(sysconfig.get_path("stdlib"))


@cache
def files() -> tuple[Path, ...]:
    """Every file of the standard library, by path, but for bytecode and installed packages."""
    passed_over = {"__pycache__", "site-packages", "dist-packages"}
    found = (path for path in ROOT.rglob("*") if passed_over.isdisjoint(path.parts))
    return tuple(sorted(path for path in found if path.is_file()))


def sources() -> tuple[Path, ...]:
    """The Python source files among them."""
    return tuple(path for path in files() if path.suffix == ".py")


def walk() -> Iterator[Path]:
    """The same sources as they are found, before anybody knows how many there are."""
    passed_over = {"__pycache__", "site-packages", "dist-packages"}
    for path in ROOT.rglob("*.py"):
        if passed_over.isdisjoint(path.parts) and path.is_file():
            yield path


def inventory(paths: Sequence[Path], bad_line: int | None = None) -> str:
    """A CSV with a row for each path.

    On line `bad_line` (the heading is line 1) the size is written the way people write sizes, and
    no parser reads them.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for line, path in enumerate(paths, start=2):
        stat = path.stat()
        size = f"{stat.st_size / 1000:.1f} kB" if line == bad_line else stat.st_size
        modified = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat()
        writer.writerow((path.relative_to(ROOT), size, modified))
    return text.getvalue()
