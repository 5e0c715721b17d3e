"""The work of the demonstration: each job is a generator that does a piece between two steps.

A job knows nothing of tasks, databases of tasks or pace. It yields a `Step` after each piece and
returns its result; the worker reports the one and stores the other. An exception is the job's
failure.
"""

import csv
import hashlib
import io
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from project.demo import library
from project.demo.models import LibraryFile

ROWS_PER_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Step:
    """How far a job has come."""

    done: int
    total: int | None  # None while nobody knows
    phase: str
    message: str


Work = Generator[Step, None, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """Something the worker can do: its task's name, the work, and what people are told of it.

    ``kind`` is its name in a form. A job that is called off half way asks nobody.
    """

    kind: str
    name: str
    work: Callable[[], Work]
    words: str = ""
    cancelled_half_way: bool = False


class BadRow(ValueError):
    """A row of a CSV that cannot be imported; the text names its line and column."""


def hash_library() -> Work:
    """SHA-256 of every file of the standard library, and one over them all."""
    paths = library.files()
    everything = hashlib.sha256()
    size = 0
    for done, path in enumerate(paths, start=1):
        content = path.read_bytes()
        size += len(content)
        everything.update(hashlib.sha256(content).digest())
        yield Step(done, len(paths), "Hashing", str(path.relative_to(library.ROOT)))
    return {"files": len(paths), "bytes": size, "sha256": everything.hexdigest()}


def zip_library() -> Work:
    """A zip of the standard library's sources, in a temporary file that goes with the job."""
    with tempfile.TemporaryFile(prefix="demo-", suffix=".zip") as file:
        return (yield from zip_into(file, library.sources()))


def zip_into(file: IO[bytes], paths: Sequence[Path]) -> Work:
    """Write a zip of these files of the standard library."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for done, path in enumerate(paths, start=1):
            name = str(path.relative_to(library.ROOT))
            archive.write(path, name)
            yield Step(done, len(paths), "Compressing", name)
    return {
        "files": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
        "zip_bytes": file.tell(),
    }


def count_lines() -> Work:
    """Lines of source by package, the largest five; how many packages there are shows at the end only."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for done, path in enumerate(library.walk(), start=1):
        package = path.relative_to(library.ROOT).parts[0]
        lines[package] += path.read_bytes().count(b"\n")
        files[package] += 1
        yield Step(done, None, "Counting", str(path.relative_to(library.ROOT)))
    return [{"package": name, "files": files[name], "lines": count} for name, count in lines.most_common(5)]


def import_inventory() -> Work:
    """Import the inventory of the standard library, a CSV, into the table."""
    return _import_csv(library.inventory(library.files()))


def import_bad_inventory() -> Work:
    """Import the same inventory with a mistake in it: fails there, with the line and column."""
    paths = library.files()
    return _import_csv(library.inventory(paths, bad_line=len(paths) * 2 // 3))


def _import_csv(text: str) -> Work:
    """Fill the table from a CSV text in chunks of `ROWS_PER_CHUNK`; two imports at a time do no harm."""
    total = len(text.splitlines()) - 1
    chunk: list[LibraryFile] = []
    done = 0
    for row in _rows(text):
        chunk.append(row)
        if len(chunk) == ROWS_PER_CHUNK or done + len(chunk) == total:
            LibraryFile.objects.bulk_create(
                chunk, update_conflicts=True, unique_fields=["path"], update_fields=["size", "modified"]
            )
            done += len(chunk)
            chunk = []
            yield Step(done, total, "Importing", f"{done:,} of {total:,} rows")
    return {"rows": done}


def _rows(text: str) -> Iterator[LibraryFile]:
    """The rows of an inventory, not saved; raise `BadRow` at the first that is wrong."""
    reader = csv.DictReader(io.StringIO(text), restval="")
    readers: dict[str, Callable[[str], Any]] = {
        "path": str,
        "size": int,
        "modified": datetime.fromisoformat,
    }
    for row in reader:
        values = {}
        for column, read in readers.items():
            try:
                values[column] = read(row[column])
            except ValueError as error:
                place = f"Line {reader.line_num}, column “{column}”"
                raise BadRow(f"{place}: “{row[column]}” is not valid.") from error
        yield LibraryFile(**values)


#: What people can start, and one round of the worker.
JOBS = (
    Job("checksums", "Checksums of the standard library", hash_library, "SHA-256 of each file"),
    Job("archive", "Archive of the standard library", zip_library, "A zip of all sources"),
    Job("import", "Import of the inventory", import_inventory, "A CSV into a table"),
    Job("lines", "Lines of the standard library", count_lines, "Nobody knows how long it takes"),
    Job("mistake", "Import of an inventory with a mistake", import_bad_inventory, "Fails at a bad row"),
    Job("called-off", "Checksums, called off half way", hash_library, "Ends before its end", True),
)
BY_KIND = {job.kind: job for job in JOBS}
BY_NAME = {job.name: job for job in JOBS}
