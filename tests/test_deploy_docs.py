"""docs/deploy.md tells the truth: variables, commands, flags and answers are those of the code."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest
from django.core.management import get_commands
from django.test import AsyncClient
from uvicorn.main import main as uvicorn

from project import serve
from realtime.conf import SETTINGS
from tests.documents import table, text
from tests.kit.process import ROOT
from tests.peers import process_hub

DOCUMENT = "docs/deploy.md"


def read_from_environment() -> dict[str, str | None]:
    """The variables that the settings read, as the source says, and the default where that is a number."""
    found: dict[str, str | None] = {}
    for node in ast.walk(ast.parse((ROOT / "project" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = str(node.args[0].value)
            match ast.unparse(node.func):
                case "environment.text" | "environment.names":
                    found[name] = None
                case "environment.flag":
                    found[name] = "0"
                case "environment.number" | "environment.choice":
                    found[name] = str(ast.literal_eval(node.args[1]))
    return found


def test_every_variable_is_listed() -> None:
    """Those of the settings, of the app and of Django, with their defaults."""
    listed = {name: default for name, default, _ in table(DOCUMENT, "Variables")}
    read = read_from_environment()
    assert listed.keys() == read.keys() | {"REALTIME_<KEY>", "DJANGO_SETTINGS_MODULE"}
    for name, default in read.items():
        assert default is None or listed[name].split()[0] == default


def test_every_key_that_is_named_exists() -> None:
    """`REALTIME_TRUSTED_PROXIES` in an example, `MAX_CONNECTIONS` in a sentence."""
    named = set(re.findall(r"REALTIME_([A-Z]\w+)", text(DOCUMENT)))
    assert named
    assert named <= SETTINGS.keys()


def test_every_command_that_is_named_exists() -> None:
    """Each `manage.py …`."""
    named = set(re.findall(r"manage\.py (\w+)", text(DOCUMENT)))
    assert {"migrate", "prune_events", "realtime_rebase"} <= named <= get_commands().keys()


def test_the_flags_of_uvicorn_are_those_of_serve() -> None:
    """The command that stands for one process does what `make serve` does with each."""
    (command,) = re.findall(r"^uvicorn (.*?)^```", text(DOCUMENT), re.DOTALL | re.MULTILINE)
    told = uvicorn.make_context("uvicorn", shlex.split(command.replace("\\\n", " "))).params
    wanted = dict(serve.OPTIONS)
    # The command line has no name for these: Django sets up logging, and only the supervisor asks.
    for name in ("log_config", "timeout_worker_healthcheck", "interface"):
        del wanted[name]
    assert wanted.pop("http").__mro__[1].__module__.startswith(f"uvicorn.protocols.http.{told['http']}")
    assert {name: told[name] for name in wanted} == wanted


@pytest.mark.requirement("O3")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_answer_of_readyz_has_the_form_that_is_shown(engine: str) -> None:
    """The same names, in the whole and in each dependency."""
    (example,) = re.findall(r"^```json\n(.*?)^```", text(DOCUMENT), re.DOTALL | re.MULTILINE)
    shown = json.loads(example)
    async with process_hub():
        said = (await AsyncClient().get("/readyz")).json()
    assert said.keys() == shown.keys()
    for part in ("database", "log", "layer", "drain"):
        assert said[part].keys() == shown[part].keys()
