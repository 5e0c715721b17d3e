"""The demonstration's jobs do what they say: the checksum, the archive and the imports are real."""

import hashlib
import os
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from project.demo import jobs, library
from project.demo.jobs import BadRow, Job, Step, Work
from project.demo.models import LibraryFile


def finish(work: Work) -> tuple[list[Step], Any]:
    """Do a job to its end; return its steps and its result."""
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


def counts_to_its_total(steps: list[Step]) -> bool:
    """Whether the steps rise one after the other and the last one is all."""
    rising = all(one.done < two.done for one, two in pairwise(steps))
    return rising and steps[-1].done == steps[-1].total


def walk_library() -> list[Path]:
    """The files of the standard library, found in another way than the demonstration's."""
    found = []
    for folder, folders, names in os.walk(library.ROOT):
        folders[:] = [f for f in folders if f not in ("__pycache__", "site-packages", "dist-packages")]
        found += [Path(folder, name) for name in names if Path(folder, name).is_file()]
    return sorted(found)


def test_the_checksum_is_that_of_hashlib_over_the_same_files() -> None:
    """SHA-256 over the SHA-256 of every file of the standard library, in the order of their paths."""
    paths = walk_library()
    contents = [path.read_bytes() for path in paths]
    digests = b"".join(hashlib.sha256(content).digest() for content in contents)
    steps, result = finish(jobs.hash_library())
    assert result == {
        "files": len(paths),
        "bytes": sum(map(len, contents)),
        "sha256": hashlib.sha256(digests).hexdigest(),
    }
    assert counts_to_its_total(steps)


def test_the_archive_opens_and_holds_the_files(tmp_path: Path) -> None:
    """The zip passes its own test, and each member has the bytes of its file."""
    paths = library.sources()[:200]
    target = tmp_path / "library.zip"
    with target.open("wb") as file:
        steps, result = finish(jobs.zip_into(file, paths))
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = [str(path.relative_to(library.ROOT)) for path in paths]
        assert archive.namelist() == names
        for name, path in zip(names, paths, strict=True):
            assert archive.read(name) == path.read_bytes()
    assert result["files"] == 200
    assert result["zip_bytes"] == target.stat().st_size < result["bytes"]
    assert counts_to_its_total(steps)


def test_lines_are_counted_by_package_without_a_known_end() -> None:
    """No step knows how many there are; the result is the five largest, the largest first."""
    steps, result = finish(jobs.count_lines())
    paths = [path for path in walk_library() if path.suffix == ".py"]
    assert {step.total for step in steps} == {None}
    assert len(steps) == len(paths)
    first = result[0]
    ours = [path for path in paths if path.relative_to(library.ROOT).parts[0] == first["package"]]
    assert first["files"] == len(ours)
    assert first["lines"] == sum(path.read_bytes().count(b"\n") for path in ours)
    assert [row["lines"] for row in result] == sorted((row["lines"] for row in result), reverse=True)


def test_an_archive_that_is_called_off_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive's file goes with its job, finished or not, on every file system."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    work = jobs.zip_library()
    next(work)
    assert len(os.listdir("/proc/self/fd")) > len(before)
    work.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []


def test_an_import_fills_the_table_with_every_file(engine: str) -> None:
    """Each row is a file with its size; a second import replaces the first."""
    paths = walk_library()
    for _ in range(2):
        steps, result = finish(jobs.import_inventory())
        assert result == {"rows": len(paths)}
        assert counts_to_its_total(steps)
        rows = dict(LibraryFile.objects.values_list("path", "size"))
        assert rows == {str(path.relative_to(library.ROOT)): path.stat().st_size for path in paths}


def test_a_bad_row_ends_the_import_with_its_line_and_column(engine: str) -> None:
    """The error names the place in the file; the whole chunks before it are in the table."""
    line = len(library.files()) * 2 // 3
    wrong = f"{library.files()[line - 2].stat().st_size / 1000:.1f} kB"
    with pytest.raises(BadRow) as caught:
        finish(jobs.import_bad_inventory())
    assert str(caught.value) == f"Line {line}, column “size”: “{wrong}” is not valid."
    imported = (line - 2) // jobs.ROWS_PER_CHUNK * jobs.ROWS_PER_CHUNK
    assert LibraryFile.objects.count() == imported


def test_a_round_has_every_ending() -> None:
    """The round holds jobs that complete, one that fails and one that is called off."""
    assert [job.work for job in jobs.JOBS] == [
        jobs.hash_library,
        jobs.zip_library,
        jobs.import_inventory,
        jobs.count_lines,
        jobs.import_bad_inventory,
        jobs.hash_library,
    ]
    assert [job.cancelled_half_way for job in jobs.JOBS] == [False] * 5 + [True]
    assert len(jobs.BY_NAME) == len(jobs.BY_KIND) == len(jobs.JOBS)
    assert all(isinstance(job, Job) for job in jobs.JOBS)
