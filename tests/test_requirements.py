"""docs/requirements.md says which test covers which requirement, and it says so truly."""

from pathlib import Path

from tests.kit import requirements

SAMPLE = """
import pytest

pytestmark = pytest.mark.requirement("A1")


@pytest.mark.requirement("B1", "B2")
async def test_one(): ...


@pytest.mark.requirement("C1")
class TestGroup:
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("D1"))])
    def test_two(self, x): ...


def helper(): ...
"""


def test_the_document_is_up_to_date() -> None:
    """``make requirements`` has been run since the last change of a mark or a row."""
    written = requirements.DOCUMENT.read_text()
    assert written == requirements.render(), "run: make requirements"


def test_every_mark_names_a_row() -> None:
    """A mark with a number that does not exist proves nothing: it is a typing error."""
    rows = {number for section in requirements.sections().values() for number in section}
    unknown = [mark for mark in requirements.marks() if mark.row not in rows]
    assert unknown == []


def test_marks_are_found_wherever_pytest_finds_them(tmp_path: Path) -> None:
    """On a function, a class, a parameter and a module; several rows in one mark."""
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    found = {(mark.test, mark.row) for mark in requirements.marks(tmp_path)}
    one = {("test_one", "A1"), ("test_one", "B1"), ("test_one", "B2")}
    assert found == one | {("test_two", "A1"), ("test_two", "C1"), ("test_two", "D1")}
