"""docs/testing.md run to the letter, and the plugin in a project that has no use for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

from realtime.testing import plugin
from tests.kit.process import ROOT
from tests.kit.walkthrough import Reader, steps

#: The package is not installed here, so its entry point is named; and what else is installed would take time.
PYTEST = f"{sys.executable} -m pytest -q -p realtime.testing.plugin -p no:cacheprovider"
NEEDED = "-p pytest_django.plugin -p pytest_asyncio.plugin"


def shell(folder: Path) -> Reader:
    """Somebody in an empty folder who can import the package."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return Reader(
        folder,
        {**kept, "HOME": str(folder), "PYTHONPATH": f"{ROOT}:.", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def test_the_document_s_tests_pass(tmp_path: Path) -> None:
    """In the project of docs/integrate.md each example is written to its file, and pytest passes all."""
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite"], cwd=tmp_path, check=True, timeout=60
    )
    reader = shell(tmp_path / "mysite")
    for document in ("integrate.md", "testing.md"):
        for step in steps(ROOT / "docs" / document):
            if step.verb != "run":
                reader.follow(step, unless=lambda command: True)
    for package in ("imports", "imports/tests"):
        (reader.folder / package / "__init__.py").touch()
    written = [step.text.count("def test_") for step in steps(ROOT / "docs" / "testing.md")]
    assert f"{sum(written)} passed" in reader.run(f"{PYTEST} {NEEDED}")


def test_who_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    """Loaded without pytest-django, pytest-asyncio or settings, it imports nothing of Django or Channels."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n"
        "def test_other():\n"
        "    assert 'realtime.testing.plugin' in sys.modules\n"
        "    heavy = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not heavy & {'django', 'channels', 'asgiref', 'rest_framework', 'msgspec'}\n"
        "    ours = {name for name in sys.modules if name.startswith('realtime')}\n"
        "    assert ours == {'realtime', 'realtime.testing', 'realtime.testing.plugin'}\n"
    )
    reader = shell(tmp_path)
    assert "1 passed" in reader.run(PYTEST)


def test_the_entry_point_is_the_plugin() -> None:
    """pytest finds it by the package's metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert import_module(project["entry-points"]["pytest11"]["realtime"]) is plugin
