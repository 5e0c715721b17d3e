"""The API against its own description: called in every way that allows, and in many it does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.flows import KINDS, Live
from tests.kit.site import Site
from tests.profiles import OBSERVED

#: What is asked of every answer. Not `positive_data_acceptance`: a task's status may not allow what its
#: schema does. Not `use_after_free`: a deleted task's events can still be read.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)
#: Seconds for one run.
DEADLINE = 200


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[dict[str, Live]]:
    """A site of its own: who calls everything also sends notices to everybody."""
    with Site(env=OBSERVED) as site:
        yield {kind: Live(site, site.start(kind)) for kind in KINDS}


async def fuzz(live: Live, token: str, arguments: Sequence[str]) -> str:
    """Run Schemathesis against the server; return what it says, which is short when all is well."""
    command = [
        *[sys.executable, "-m", "schemathesis.cli", "run", f"{live.server.url}/api/schema/"],
        *["--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)],
        *["--generation-deterministic", "--no-shrink", "--no-color"],
        *["--suppress-health-check", "all", "--request-timeout", "20", "--warnings", "off", *arguments],
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=live.site.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    ("kind", "phases", "permissions"),
    [
        ("daphne", "examples,coverage", ()),
        (
            "uvicorn",
            "fuzzing,stateful",
            [f"realtime.{n}" for n in ("view_task", "add_task", "change_task", "add_broadcast")],
        ),
    ],
    ids=["every edge, as a user", "many ways, as staff"],
)
async def test_every_answer_is_as_described(
    fuzzed: dict[str, Live], kind: str, phases: str, permissions: Sequence[str]
) -> None:
    """No 5xx, and no status, header or body that the description does not know."""
    live = fuzzed[kind]
    person = await live.person(*permissions, staff=bool(permissions))
    await live.tasks(person, 3)
    arguments = ["--phases", phases, "--max-examples", "4", "--exclude-operation-id", "log_out"]
    assert await fuzz(live, person.token, arguments) == ""


async def test_logging_out_is_as_described(fuzzed: dict[str, Live]) -> None:
    """Apart from the others: it ends the token with which they are called."""
    live = fuzzed["uvicorn"]
    person = await live.person()
    arguments = ["--max-examples", "4", "--include-operation-id", "log_out"]
    assert await fuzz(live, person.token, arguments) == ""
